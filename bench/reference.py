"""Makes the frozen reference that the tests of lmkit/lm compare with: tiny models and what they must answer.

    $(bench/venv.sh) bench/reference.py

writes lmkit/lm/testdata/reference/ (or the folder given as the only argument): one model directory for each
entry of MODELS, holding config.json, model.safetensors and expected.safetensors, and edits.json.

The architectures are written out here from their definitions, on torch's arithmetic and automatic differentiation
only. Weights are float32; everything is computed from them in float64 and stored as float32. Seeds are fixed and one
thread is used, so that two runs write the same bytes.

expected.safetensors (B rows, T tokens, V vocabulary; ids are int64):
    ids, targets [B,T]          logits [B,T,V]      loss [1]: mean cross-entropy over all B*T tokens
    grad/PARAMETER              gradient of the loss
    target, foil [B]            f [B] = logits[b, T-1, target[b]] - logits[b, T-1, foil[b]]
    tap/NAME, dtap/NAME         an activation, and the total derivative of sum(f) with respect to it
    edit/CASE/...               logits, f, dembed, dtap/NAME and values of an edit case (see edit_cases)
and for the LSTM, all with the initial state given:
    state/h0, c0, h1, c1        [layers, B, H]: the state before the first token, and after the last
    logits_state, f_state       demb_state, dstate/h0, dstate/c0: derivatives of sum(f_state)
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

B, T, V = 2, 7, 13
HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "lmkit" / "lm" / "testdata" / "reference"

GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": V, "n_positions": 12, "n_embd": 8,
    "n_layer": 2, "n_head": 2, "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    "embd_pdrop": 0.1, "attn_pdrop": 0.1, "resid_pdrop": 0.1, "tie_word_embeddings": True,
}
# name: (configuration, prefix of the tensor names). gpt2-gelu also holds the causal mask as the buffer h.0.attn.bias,
# as the published GPT-2 files do: a reader must pass over it.
MODELS = {
    "gpt2": (GPT2, "transformer."),
    "gpt2-untied": (GPT2 | {"n_layer": 1, "n_inner": 20, "activation_function": "relu", "tie_word_embeddings": False}, ""),
    "gpt2-gelu": (GPT2 | {"n_layer": 1, "activation_function": "gelu"}, ""),
    "lstm": ({"model_type": "lstm", "vocab_size": V, "embed_size": 6, "hidden_size": 5, "num_layers": 2, "dropout": 0.5}, ""),
}


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    listed = []
    for seed, (name, (config, prefix)) in enumerate(MODELS.items()):
        rng = np.random.default_rng(20240 + seed)
        weights = lstm_weights(config, rng) if name == "lstm" else gpt2_weights(config, prefix, rng)
        params = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in weights.items()}
        model = LSTM(config, params) if name == "lstm" else GPT2Model(config, params, prefix)
        expected = expect(model, rng)
        if name == "lstm":
            expect_state(model, expected, rng)
            check_lstm(model, expected)
        for case in edit_cases(name, expected, rng):
            expect_edit(model, expected, case)
            listed.append(case)
        if name == "gpt2-gelu":
            n = config["n_positions"]
            weights["h.0.attn.bias"] = np.tril(np.ones((1, 1, n, n), np.float32))
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        save_file({k: stored(v) for k, v in expected.items()}, folder / "expected.safetensors")
    lines = ",\n".join("  " + json.dumps(case) for case in listed)
    (out / "edits.json").write_text("[\n" + lines + "\n]\n")


def stored(x):
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return np.ascontiguousarray(x if x.dtype == np.int64 else x.astype(np.float32))


# What a model must answer.


def expect(model, rng):
    """The run without edits: values, the loss's gradients, f and its derivatives."""
    ids, targets = rng.integers(0, V, (2, B, T))
    target = rng.integers(0, V, B)
    foil = (target + 1 + rng.integers(0, V - 1, B)) % V
    want = {"ids": ids, "targets": targets, "target": target, "foil": foil}
    walk = Walk()
    logits = model.forward(walk, torch.tensor(ids))
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), torch.tensor(targets).reshape(-1))
    f = contrast(logits, want)
    want |= {"logits": logits, "loss": loss.reshape(1), "f": f}
    for name, g in zip(model.params, derivatives(loss, list(model.params.values()))):
        want["grad/" + name] = g
    for name in walk.nodes:
        want["tap/" + name] = walk.value(name)
        want["dtap/" + name] = walk.derivative(f.sum(), name)
    return want


def expect_state(model, want, rng):
    """The LSTM again, from a given state that is not zero."""
    shape = (2, model.config["num_layers"], B, model.config["hidden_size"])
    h0, c0 = (torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in normal(rng, shape, 0.5))
    walk = Walk()
    logits = model.forward(walk, torch.tensor(want["ids"]), (h0, c0))
    f = contrast(logits, want)
    dh0, dc0 = derivatives(f.sum(), [h0, c0])
    h1, c1 = model.state
    want |= {"state/h0": h0, "state/c0": c0, "state/h1": h1, "state/c1": c1, "logits_state": logits, "f_state": f,
             "dstate/h0": dh0, "dstate/c0": dc0, "demb_state": walk.derivative(f.sum(), "embed")}


def expect_edit(model, want, case):
    """A run in which activations are replaced."""
    key = "edit/" + case["name"] + "/"
    walk = Walk(case["edits"], want)
    logits = model.forward(walk, torch.tensor(want["ids"]))
    f = contrast(logits, want)
    want |= {key + "logits": logits, key + "f": f, key + "dembed": walk.derivative(f.sum(), "embed")}
    for edit in case["edits"]:
        want[key + "dtap/" + edit["tap"]] = walk.derivative(f.sum(), edit["tap"])
    assert not torch.equal(logits, want["logits"]), case["name"]


def contrast(logits, want):
    rows = torch.arange(B)
    return logits[rows, -1, torch.tensor(want["target"])] - logits[rows, -1, torch.tensor(want["foil"])]


def derivatives(y, xs):
    found = torch.autograd.grad(y, xs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(xs, found)]


def edit_cases(model, want, rng):
    """The edits of a model, as edits.json lists them.

    An edit changes a tap's value x where rows, positions and heads (null: all) select it, to
        keep*x + (1-keep)*source
    with source = values (the name of a tensor in expected, broadcast to the tap), or row from_row's own x before this
    edit, at the same tap and position, taken as a constant; or zero where both are null. Positions of scores and
    pattern are query positions. In the LSTM an edit acts inside the recurrence: later steps see what it left.
    dembed and dtap are derivatives of sum(f) with respect to the tap's value after editing.
    """

    def case(name, *edits):
        return {"name": name, "model": model, "edits": list(edits)}

    def edit(tap, values=None, **given):
        return {"tap": tap, "rows": None, "positions": None, "heads": None, "keep": 0.0, "from_row": None,
                "values": values} | given

    def give(name, values):
        want[f"edit/{name}/values"] = np.asarray(values, np.float32)
        return f"edit/{name}/values"

    if model == "gpt2":
        uniform = np.tril(np.ones((1, 1, T, T))) / np.arange(1, T + 1)[:, None]
        mean = stored(want["tap/block.0.mlp.post"]).mean((0, 1), keepdims=True)
        return [
            case("head-zero", edit("block.0.attn.z", positions=[2, 3, 4], heads=[1])),
            case("resid-from-row", edit("block.1.resid.pre", rows=[1], positions=[3], from_row=0)),
            case("pattern-uniform", edit("block.1.attn.pattern", give("pattern-uniform", uniform), heads=[0])),
            case("embed-interpolate",
                 edit("embed", give("embed-interpolate", normal(rng, (1, T, 8), 0.3)), rows=[1], keep=0.3)),
            case("scale-freeze", edit("block.0.ln1.scale", give("scale-freeze", 0.4 + 0.1 * np.arange(T).reshape(1, T, 1)))),
            case("mlp-mean", edit("block.0.mlp.post", give("mlp-mean", mean))),
            case("two-taps", edit("block.0.attn.k", positions=[1], heads=[0], keep=0.25),
                 edit("block.1.attn.v", rows=[0], from_row=1)),
        ]
    if model == "lstm":
        return [
            case("forget-zero", edit("lstm.0.gate.f", positions=[2])),
            case("cell-from-row", edit("lstm.1.cell", rows=[1], positions=[4], from_row=0)),
            case("hidden-interpolate",
                 edit("lstm.0.hidden", give("hidden-interpolate", normal(rng, (1, T, 5), 0.5)), keep=0.5)),
            case("embed-interpolate",
                 edit("embed", give("embed-interpolate", normal(rng, (1, 1, 6), 0.5)), rows=[0], keep=0.3)),
            case("pre-halve", edit("lstm.1.pre", positions=[1], keep=0.5)),
        ]
    return []


class Walk:
    """One forward pass: names activations, edits them, and keeps the graph node the model went on with."""

    def __init__(self, edits=(), given=None):
        self.nodes, self.axes = {}, {}
        self.edits = {e["tap"]: e for e in edits}
        self.given = given

    def tap(self, name, x, axes, step=None):
        """axes: B rows, T positions, H heads, '.' anything else; with a step, x is one position of the tap [B, .]."""
        if name in self.edits:
            x = self.edited(self.edits[name], x, axes, step)
        if step is None:
            self.nodes[name] = [x]
        else:
            self.nodes.setdefault(name, []).append(x)
        self.axes[name] = axes
        return x

    def edited(self, e, x, axes, step):
        if step is not None and e["positions"] is not None and step not in e["positions"]:
            return x
        here = torch.ones(x.shape, dtype=torch.bool)
        for letter, chosen in (("B", e["rows"]), ("T", e["positions"]), ("H", e["heads"])):
            if chosen is not None and letter in axes:
                along = torch.zeros(x.shape[axes.index(letter)], dtype=torch.bool)
                along[chosen] = True
                here &= along.reshape([-1 if a == letter else 1 for a in axes])
        source = torch.zeros_like(x)
        if e["values"] is not None:
            source = torch.tensor(self.given[e["values"]], dtype=torch.float64)
            if step is not None:
                source = source[:, step if source.shape[1] > 1 else 0]
        elif e["from_row"] is not None:
            source = x[e["from_row"]].detach()
        return torch.where(here, e["keep"] * x + (1 - e["keep"]) * source, x)

    def value(self, name):
        return self.gather(name, self.nodes[name])

    def derivative(self, y, name):
        return self.gather(name, derivatives(y, self.nodes[name]))

    def gather(self, name, parts):
        return parts[0] if "T" in self.axes[name] else torch.stack(parts, 1)


# The models.


def normal(rng, shape, scale, mean=0.0):
    return (mean + scale * rng.standard_normal(shape)).astype(np.float32)


def gpt2_weights(c, prefix, rng):
    """GPT-2's tensors. The matrices of a block are [in, out]."""
    D, F = c["n_embd"], c["n_inner"] or 4 * c["n_embd"]
    w = {}

    def linear(name, n_in, n_out):
        w[prefix + name + ".weight"] = normal(rng, (n_in, n_out), 0.3)
        w[prefix + name + ".bias"] = normal(rng, n_out, 0.2)

    def layer_norm(name):
        w[prefix + name + ".weight"] = normal(rng, D, 0.2, mean=1.0)
        w[prefix + name + ".bias"] = normal(rng, D, 0.2)

    w[prefix + "wte.weight"] = normal(rng, (V, D), 0.3)
    w[prefix + "wpe.weight"] = normal(rng, (c["n_positions"], D), 0.3)
    for layer in range(c["n_layer"]):
        h = f"h.{layer}."
        layer_norm(h + "ln_1")
        linear(h + "attn.c_attn", D, 3 * D)
        linear(h + "attn.c_proj", D, D)
        layer_norm(h + "ln_2")
        linear(h + "mlp.c_fc", D, F)
        linear(h + "mlp.c_proj", F, D)
    layer_norm("ln_f")
    if not c["tie_word_embeddings"]:
        w["lm_head.weight"] = normal(rng, (V, D), 0.3)
    return w


class GPT2Model:
    """Radford et al. 2019: pre-LayerNorm Transformer decoder with learned positions."""

    def __init__(self, config, params, prefix):
        self.config, self.params, self.prefix = config, params, prefix

    def __call__(self, name):
        return self.params[self.prefix + name]

    def forward(self, walk, ids):
        x = walk.tap("embed", self("wte.weight")[ids], "BT.")
        at = self("wpe.weight")[: ids.shape[1]].expand(x.shape)
        x = x + walk.tap("pos_embed", at, "BT.")
        for layer in range(self.config["n_layer"]):
            x = self.block(walk, f"block.{layer}.", f"h.{layer}.", x)
        x = walk.tap("head.in", self.layer_norm(walk, "final.", "ln_f", x), "BT.")
        head = self("wte.weight") if self.config["tie_word_embeddings"] else self.params["lm_head.weight"]
        return x @ head.T

    def block(self, walk, tap, w, x):
        x = walk.tap(tap + "resid.pre", x, "BT.")
        a = self.attention(walk, tap + "attn.", w + "attn.", self.layer_norm(walk, tap + "ln1.", w + "ln_1", x))
        x = walk.tap(tap + "resid.mid", x + a, "BT.")
        y = self.layer_norm(walk, tap + "ln2.", w + "ln_2", x)
        y = walk.tap(tap + "mlp.pre", self.linear(w + "mlp.c_fc", y), "BT.")
        y = walk.tap(tap + "mlp.post", self.activation(y), "BT.")
        y = walk.tap(tap + "mlp.out", self.linear(w + "mlp.c_proj", y), "BT.")
        return walk.tap(tap + "resid.post", x + y, "BT.")

    def attention(self, walk, tap, w, x):
        heads, K = self.config["n_head"], x.shape[2] // self.config["n_head"]
        qkv = self.linear(w + "c_attn", x).split(x.shape[2], dim=2)
        q, k, v = (walk.tap(tap + n, y.reshape(B, -1, heads, K), "BTH.") for n, y in zip("qkv", qkv))
        scores = walk.tap(tap + "scores", torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(K), "BHT.")
        future = torch.ones(scores.shape[2:], dtype=torch.bool).triu(1)
        pattern = walk.tap(tap + "pattern", scores.masked_fill(future, -math.inf).softmax(-1), "BHT.")
        z = walk.tap(tap + "z", torch.einsum("bhts,bshk->bthk", pattern, v), "BTH.")
        return walk.tap(tap + "out", self.linear(w + "c_proj", z.reshape(x.shape)), "BT.")

    def layer_norm(self, walk, tap, w, x):
        x = x - x.mean(-1, keepdim=True)
        scale = torch.sqrt((x * x).mean(-1, keepdim=True) + self.config["layer_norm_epsilon"])
        scale = walk.tap(tap + "scale", scale, "BT.")
        return walk.tap(tap + "normalized", x / scale, "BT.") * self(w + ".weight") + self(w + ".bias")

    def linear(self, w, x):
        return x @ self(w + ".weight") + self(w + ".bias")

    def activation(self, x):
        kind = self.config["activation_function"]
        if kind == "relu":
            return x.clamp(min=0)
        if kind == "gelu":
            return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        assert kind == "gelu_new"
        return x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def lstm_weights(c, rng):
    E, H = c["embed_size"], c["hidden_size"]
    w = {"embed.weight": normal(rng, (V, E), 0.7)}
    for layer in range(c["num_layers"]):
        w[f"lstm.weight_ih_l{layer}"] = normal(rng, (4 * H, E if layer == 0 else H), 0.4)
        w[f"lstm.weight_hh_l{layer}"] = normal(rng, (4 * H, H), 0.4)
        w[f"lstm.bias_ih_l{layer}"] = normal(rng, 4 * H, 0.2)
        w[f"lstm.bias_hh_l{layer}"] = normal(rng, 4 * H, 0.2)
    w["linear.weight"] = normal(rng, (V, H), 0.4)
    w["linear.bias"] = normal(rng, V, 0.2)
    return w


class LSTM:
    """Hochreiter and Schmidhuber 1997 with forget gates; a step at a time, so that every gate is a node."""

    def __init__(self, config, params):
        self.config, self.params = config, params

    def forward(self, walk, ids, state=None):
        layers, H = self.config["num_layers"], self.config["hidden_size"]
        h0, c0 = state if state is not None else torch.zeros(2, layers, B, H, dtype=torch.float64)
        x = walk.tap("embed", self.params["embed.weight"][ids], "BT.")
        last = []
        for layer in range(layers):
            h, c, hidden = h0[layer], c0[layer], []
            for t in range(ids.shape[1]):
                h, c = self.step(walk, layer, t, x[:, t], h, c)
                hidden.append(h)
            x = torch.stack(hidden, 1)
            last.append((h, c))
        self.state = [torch.stack(s) for s in zip(*last)]
        x = walk.tap("head.in", x, "BT.")
        return x @ self.params["linear.weight"].T + self.params["linear.bias"]

    def step(self, walk, layer, t, x, h, c):
        def tap(name, value):
            return walk.tap(f"lstm.{layer}.{name}", value, "B.", step=t)

        w_ih, w_hh, b_ih, b_hh = (self.params[f"lstm.{n}_l{layer}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        i, f, g, o = tap("pre", x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=1)
        i, f = tap("gate.i", torch.sigmoid(i)), tap("gate.f", torch.sigmoid(f))
        g, o = tap("gate.g", torch.tanh(g)), tap("gate.o", torch.sigmoid(o))
        c = tap("cell", f * c + i * g)
        return tap("hidden", o * torch.tanh(c)), c


def check_lstm(model, want):
    """The cell above is torch.nn.LSTM's: same logits, same final state, same gradients."""
    c, p = model.config, model.params
    theirs = torch.nn.LSTM(c["embed_size"], c["hidden_size"], c["num_layers"], batch_first=True).double()
    theirs.load_state_dict({k.removeprefix("lstm."): v.detach() for k, v in p.items() if k.startswith("lstm.")})

    def same(a, b):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)

    x = torch.nn.functional.embedding(torch.tensor(want["ids"]), p["embed.weight"])
    logits = theirs(x)[0] @ p["linear.weight"].T + p["linear.bias"]
    same(logits, want["logits"])
    torch.nn.functional.cross_entropy(logits.reshape(-1, V), torch.tensor(want["targets"]).reshape(-1)).backward()
    for name, q in theirs.named_parameters():
        same(q.grad, want["grad/lstm." + name])
    for name in ("embed.weight", "linear.weight", "linear.bias"):
        same(p[name].grad, want["grad/" + name])
    y, (h1, c1) = theirs(x, (want["state/h0"].detach(), want["state/c0"].detach()))
    same(y @ p["linear.weight"].T + p["linear.bias"], want["logits_state"])
    same(h1, want["state/h1"])
    same(c1, want["state/c1"])


if __name__ == "__main__":
    main()
