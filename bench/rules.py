"""Adds to the frozen reference what relevance rules and DeepLIFT must give on its models.

    $(bench/venv.sh) bench/rules.py

reads lmkit/lm/testdata/reference/MODEL/ (or the folder given as the only argument; reference.py makes it) and writes
rules.safetensors beside each model. Nothing is differentiated automatically: relevance is handed down layer by layer,
by the equations of the papers, in float64.

With f the contrast of expected.safetensors, at its ids [B,T], and D the width of the embedding:
    attn-lrp, cp-lrp   [B,T,D] relevance of the sum of token and position embedding   (Transformers)
    lrp, lrp-half      [B,T,D] relevance of the token embedding                       (LSTM)
    baseline           [D] the mean of the embedding table, in place of every token; positions stay
    deeplift           [B,T,D] contribution of the token embedding to f(ids) - f(baseline), which is
    deeplift-total     [B]
"""

import json
import math
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

from reference import MODELS, OUT

EPSILON = 1e-3  # of Arras et al. 2017


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    for name, (_, prefix) in MODELS.items():
        config = json.loads((folder / name / "config.json").read_text())
        weights = {k.removeprefix(prefix): v.double() for k, v in load_file(folder / name / "model.safetensors").items()}
        want = load_file(folder / name / "expected.safetensors")
        ids, target, foil = want["ids"].long(), want["target"].long(), want["foil"].long()
        model = (LSTM if name == "lstm" else Transformer)(config, weights)
        x = model.table[ids]
        baseline = model.table.mean(0)
        a, b = model.forward(x), model.forward(baseline.expand(x.shape))
        assert torch.allclose(a["logits"].float(), want["logits"], atol=1e-5)
        out = {"baseline": baseline}
        if name == "lstm":
            out |= {"lrp": model.relevance(a, target, foil, False), "lrp-half": model.relevance(a, target, foil, True)}
        else:
            out |= {"attn-lrp": model.relevance(a, target, foil, True), "cp-lrp": model.relevance(a, target, foil, False)}
        out["deeplift"] = (x - baseline) * model.multipliers(a, b, target, foil)
        total = contrast(a["logits"], target, foil) - contrast(b["logits"], target, foil)
        out["deeplift-total"] = total
        assert torch.allclose(out["deeplift"].sum((1, 2)), total, rtol=1e-10), name
        save_file({k: v.float().contiguous() for k, v in out.items()}, folder / name / "rules.safetensors")


def contrast(logits, target, foil):
    rows = torch.arange(len(target))
    return logits[rows, -1, target] - logits[rows, -1, foil]


def share(x, w, y, r):
    """The 0-rule of a linear layer y = x w + ...: input i gets x_i w_ij / y_j of output j's relevance."""
    return x * ((r / y) @ w.T)


def slope(x0, x1, y0, y1):
    """The slope between two points. None of the reference's pairs is equal where it matters."""
    d = x0 - x1
    return torch.where(d.abs() < 1e-12, torch.zeros_like(d), (y0 - y1) / torch.where(d == 0, torch.ones_like(d), d))


class Transformer:
    def __init__(self, config, weights):
        self.c, self.w = config, weights
        self.table = weights["wte.weight"]
        self.head = self.table if config["tie_word_embeddings"] else weights["lm_head.weight"]
        self.H = config["n_head"]
        self.K = config["n_embd"] // self.H

    def activation(self, x):
        kind = self.c["activation_function"]
        if kind == "relu":
            return torch.relu(x)
        return torch.nn.functional.gelu(x, approximate="tanh" if kind == "gelu_new" else "none")

    def heads(self, x):  # [B,T,D] to [B,H,T,K]
        return x.unflatten(2, (self.H, self.K)).transpose(1, 2)

    def joined(self, x):  # and back
        return x.transpose(1, 2).flatten(2)

    def norm(self, a, key, w, x):
        d = x - x.mean(-1, keepdim=True)
        s = torch.sqrt((d * d).mean(-1, keepdim=True) + self.c["layer_norm_epsilon"])
        y = d / s * self.w[w + ".weight"] + self.w[w + ".bias"]
        a |= {key + "x": x, key + "d": d, key + "s": s, key + "y": y}
        return y

    def forward(self, x):
        """All activations, by name."""
        w, a = self.w, {}
        x = x + w["wpe.weight"][: x.shape[1]]
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        for l in range(self.c["n_layer"]):
            h = f"h.{l}."
            y = self.norm(a, h + "1", h + "ln_1", x)
            qkv = y @ w[h + "attn.c_attn.weight"] + w[h + "attn.c_attn.bias"]
            q, k, v = (self.heads(part) for part in qkv.split(x.shape[2], 2))
            scores = q @ k.transpose(2, 3) / math.sqrt(self.K)
            pattern = scores.masked_fill(future, -math.inf).softmax(-1)
            z = pattern @ v
            att = self.joined(z) @ w[h + "attn.c_proj.weight"] + w[h + "attn.c_proj.bias"]
            a |= {h + "qkv": qkv, h + "q": q, h + "k": k, h + "v": v, h + "scores": scores, h + "pattern": pattern, h + "z": z, h + "att": att}
            x = x + att
            y = self.norm(a, h + "2", h + "ln_2", x)
            pre = y @ w[h + "mlp.c_fc.weight"] + w[h + "mlp.c_fc.bias"]
            post = self.activation(pre)
            out = post @ w[h + "mlp.c_proj.weight"] + w[h + "mlp.c_proj.bias"]
            a |= {h + "pre": pre, h + "post": post, h + "out": out}
            x = x + out
        a["logits"] = self.norm(a, "f", "ln_f", x) @ self.head.T
        return a

    def relevance(self, a, target, foil, attention):
        """AttnLRP (Achtibat et al. 2024); without attention, CP-LRP (Ali et al. 2022)."""
        w = self.w
        r = torch.zeros_like(a["fy"])
        r[:, -1] = a["fy"][:, -1] * (self.head[target] - self.head[foil])
        r = self.norm_relevance(a, "f", "ln_f", r)
        for l in reversed(range(self.c["n_layer"])):
            h = f"h.{l}."
            mid = a[h + "2x"]
            m = r * a[h + "out"] / (mid + a[h + "out"])
            m = share(a[h + "post"], w[h + "mlp.c_proj.weight"], a[h + "out"], m)  # the activation passes relevance on
            m = share(a[h + "2y"], w[h + "mlp.c_fc.weight"], a[h + "pre"], m)
            r = r * mid / (mid + a[h + "out"]) + self.norm_relevance(a, h + "2", h + "ln_2", m)
            x = a[h + "1x"]
            m = r * a[h + "att"] / (x + a[h + "att"])
            z = share(self.joined(a[h + "z"]), w[h + "attn.c_proj.weight"], a[h + "att"], m)
            z = self.heads(z) / a[h + "z"]
            rv = a[h + "v"] * (a[h + "pattern"].transpose(2, 3) @ z)
            rq = rk = torch.zeros_like(rv)
            if attention:
                rp = a[h + "pattern"] * (z @ a[h + "v"].transpose(2, 3)) / 2
                rs = a[h + "scores"] * (rp - a[h + "pattern"] * rp.sum(-1, keepdim=True))
                rs = rs / a[h + "scores"] / math.sqrt(self.K) / 2
                rv, rq = rv / 2, a[h + "q"] * (rs @ a[h + "k"])
                rk = a[h + "k"] * (rs.transpose(2, 3) @ a[h + "q"])
            m = torch.cat([self.joined(part) for part in (rq, rk, rv)], 2)
            m = share(a[h + "1y"], w[h + "attn.c_attn.weight"], a[h + "qkv"], m)
            r = r * x / (x + a[h + "att"]) + self.norm_relevance(a, h + "1", h + "ln_1", m)
        return r

    def norm_relevance(self, a, key, w, r):
        """LayerNorm is linear where its scale is a constant."""
        D = r.shape[-1]
        centre = (torch.eye(D, dtype=r.dtype) - 1 / D) * self.w[w + ".weight"]
        return a[key + "x"] * ((r / a[key + "y"]) @ centre.T) / a[key + "s"]

    def multipliers(self, a, b, target, foil):
        w = self.w

        def both(name):
            return (a[name] + b[name]) / 2

        m = torch.zeros_like(a["fy"])
        m[:, -1] = self.head[target] - self.head[foil]
        m = self.norm_multipliers(a, b, "f", "ln_f", m)
        for l in reversed(range(self.c["n_layer"])):
            h = f"h.{l}."
            y = m @ w[h + "mlp.c_proj.weight"].T
            y = y * slope(a[h + "pre"], b[h + "pre"], a[h + "post"], b[h + "post"])
            m = m + self.norm_multipliers(a, b, h + "2", h + "ln_2", y @ w[h + "mlp.c_fc.weight"].T)
            z = self.heads(m @ w[h + "attn.c_proj.weight"].T)
            mv = both(h + "pattern").transpose(2, 3) @ z
            ms = self.softmax_multipliers(a, b, h, z @ both(h + "v").transpose(2, 3)) / math.sqrt(self.K)
            mq, mk = ms @ both(h + "k"), ms.transpose(2, 3) @ both(h + "q")
            y = torch.cat([self.joined(part) for part in (mq, mk, mv)], 2) @ w[h + "attn.c_attn.weight"].T
            m = m + self.norm_multipliers(a, b, h + "1", h + "ln_1", y)
        return m

    def softmax_multipliers(self, a, b, h, m):
        """exp, sum, reciprocal, product."""
        s, t = a[h + "scores"], b[h + "scores"]
        future = torch.ones(s.shape[2:], dtype=torch.bool).triu(1)
        top = torch.maximum(s, t).masked_fill(future, -math.inf).amax(-1, keepdim=True)
        e, g = torch.exp(s - top).masked_fill(future, 0), torch.exp(t - top).masked_fill(future, 0)
        u, v = e.sum(-1, keepdim=True), g.sum(-1, keepdim=True)
        # 1/u - 1/v over u - v, without the 0/0 of the first token, which sees itself alone
        by_sum = -1 / (u * v) * (m * (e + g) / 2).sum(-1, keepdim=True)
        return (m * (1 / u + 1 / v) / 2 + by_sum) * slope(s, t, e, g)

    def norm_multipliers(self, a, b, key, w, m):
        d, g, s, t = a[key + "d"], b[key + "d"], a[key + "s"], b[key + "s"]
        m = m * self.w[w + ".weight"]
        by_scale = (m * (d + g) / 2).sum(-1, keepdim=True)
        by_variance = by_scale * slope(s * s, t * t, 1 / s, 1 / t)
        m = m * (1 / s + 1 / t) / 2 + by_variance * (d + g) / d.shape[-1]
        return m - m.mean(-1, keepdim=True)


class LSTM:
    def __init__(self, config, weights):
        self.c, self.w = config, weights
        self.table = weights["embed.weight"]

    def forward(self, x):
        """All activations; lists have an entry a step. "x" and "h", "c" of a layer: its inputs and outputs."""
        a = {}
        for l in range(self.c["num_layers"]):
            w_ih, w_hh, b_ih, b_hh = (self.w[f"lstm.{n}_l{l}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            h = c = torch.zeros(x.shape[0], w_hh.shape[1], dtype=x.dtype)
            steps = []
            for t in range(x.shape[1]):
                z = x[:, t] @ w_ih.T + h @ w_hh.T + b_ih + b_hh
                i, f, g, o = z.chunk(4, 1)
                s = {"x": x[:, t], "h-": h, "c-": c, "z": z, "i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}
                c = s["f"] * c + s["i"] * s["g"]
                h = s["o"] * c.tanh()
                steps.append(s | {"c": c, "h": h})
            a[l] = steps
            x = torch.stack([s["h"] for s in steps], 1)
        a["last"] = x[:, -1]
        a["logits"] = x @ self.w["linear.weight"].T + self.w["linear.bias"]
        return a

    def relevance(self, a, target, foil, half):
        """Arras et al. 2017: the signal of a product takes all; 2019: half."""
        head, h = self.w["linear.weight"], a["last"]
        rows = torch.arange(len(target))
        r = 0
        for ids, sign in ((target, 1), (foil, -1)):
            z = a["logits"][rows, -1, ids][:, None]
            r = r + h * head[ids] / guarded(z) * (sign * z)
        above = [torch.zeros_like(r) for _ in a[0][:-1]] + [r]
        for l in reversed(range(self.c["num_layers"])):
            w_ih, w_hh = self.w[f"lstm.weight_ih_l{l}"], self.w[f"lstm.weight_hh_l{l}"]
            rc = rh = torch.zeros_like(r)
            below = []
            for s, r_above in reversed(list(zip(a[l], above))):
                rh = rh + r_above
                rc = rc + (rh / 2 if half else rh)
                old, new = s["f"] * s["c-"] / guarded(s["c"]) * rc, s["i"] * s["g"] / guarded(s["c"]) * rc
                if half:
                    gates = torch.cat([new / 2, old / 2, new / 2, rh / 2], 1)
                    rc = old / 2
                else:
                    zero = torch.zeros_like(new)
                    gates = torch.cat([zero, zero, new, zero], 1)
                    rc = old
                gates = gates / guarded(s["z"])
                below.insert(0, s["x"] * (gates @ w_ih))
                rh = s["h-"] * (gates @ w_hh)
            above = below
        return torch.stack(above, 1)

    def multipliers(self, a, b, target, foil):
        head = self.w["linear.weight"]
        m = head[target] - head[foil]
        above = [torch.zeros_like(m) for _ in a[0][:-1]] + [m]
        for l in reversed(range(self.c["num_layers"])):
            w_ih, w_hh = self.w[f"lstm.weight_ih_l{l}"], self.w[f"lstm.weight_hh_l{l}"]
            mc = mh = torch.zeros_like(m)
            below = []
            for s, t, m_above in reversed(list(zip(a[l], b[l], above))):

                def both(name):
                    return (s[name] + t[name]) / 2

                mh = mh + m_above
                tanh, tanh_base = s["c"].tanh(), t["c"].tanh()
                mc = mc + mh * both("o") * slope(s["c"], t["c"], tanh, tanh_base)
                m_gates = torch.cat([mc * both("g"), mc * both("c-"), mc * both("i"), mh * (tanh + tanh_base) / 2], 1)
                gates = [torch.cat([u[n] for n in "ifgo"], 1) for u in (s, t)]
                m_gates = m_gates * slope(s["z"], t["z"], *gates)
                mc = mc * both("f")
                below.insert(0, m_gates @ w_ih)
                mh = m_gates @ w_hh
            above = below
        return torch.stack(above, 1)


def guarded(z):
    return z + EPSILON * torch.where(z < 0, -1.0, 1.0)


if __name__ == "__main__":
    main()
