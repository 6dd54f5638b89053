"""Measures PyTorch, Captum, SHAP and LIME on a row of the benchmark, in a process of its own, and prints a JSON line.

    $(bench/venv.sh --peers) bench/peers.py --dir DIR ROW [--peer NAME] [--device cuda]

DIR holds rows.json and models/, written by bench/ours, which names the fields. Both sides read the same weights and the
same tokens, and print what they computed beside how long it took.
"""

import argparse
import collections
import functools
import itertools
import json
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

PERIOD, CHECK_STEPS = 64, 4  # as bench/ours has them


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("row")
    p.add_argument("--dir", type=pathlib.Path, required=True, help="the folder of rows.json and models/")
    p.add_argument("--peer", help="one of the row's peers (default: the first)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: %(default)s")
    p.add_argument("--device", default="cpu", help="where models and tokens are (default: %(default)s)")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.device != "cpu":
        torch.set_default_device(args.device)
        torch.backends.cudnn.allow_tf32 = False  # float32, as matrix products have it by default
    torch.manual_seed(1)
    np.random.seed(1)
    row = next(r for r in json.loads((args.dir / "rows.json").read_text()) if r["name"] == args.row)
    row = collections.defaultdict(int, row)
    folder = args.dir / "models" / row["model"]
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] == "llama":
        model = Pretrained(folder)
    else:
        model = (WordLM if config["model_type"] == "lstm" else GPT)(config)
        model.read(load_file(folder / "model.safetensors"))
    model.to(args.device)
    peer = args.peer or row["peers"][0]
    got = MEASURES[row["kind"]](model, row, peer)
    versions = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": args.device}
    print(json.dumps({"row": row["name"], "who": peer, "unit": row["unit"], **got, "peak_mib": peak(), "versions": versions}))


# The models.


class WordLM(nn.Module):
    """torch.nn.LSTM as PyTorch's word language model has it. Its arrays have time first."""

    def __init__(self, c):
        super().__init__()
        self.embed = nn.Embedding(c["vocab_size"], c["embed_size"])
        self.lstm = nn.LSTM(c["embed_size"], c["hidden_size"], c["num_layers"], dropout=c["dropout"])
        self.linear = nn.Linear(c["hidden_size"], c["vocab_size"])
        self.drop = nn.Dropout(c["dropout"])

    def read(self, weights):
        self.load_state_dict(weights)

    def forward(self, ids, state):
        x, state = self.lstm(self.drop(self.embed(ids)), state)
        return self.linear(self.drop(x)), state

    def without_dropout(self):
        self.drop.p = self.lstm.dropout = 0.0


class Block(nn.Module):
    def __init__(self, D, H, inner, p):
        super().__init__()
        self.H = H
        self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.c_attn, self.c_proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.c_fc, self.c_out = nn.Linear(D, inner), nn.Linear(inner, D)
        self.p = p

    def forward(self, x, cache=None, at=0):
        B, T, D = x.shape
        q, k, v = (t.view(B, T, self.H, D // self.H).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(D, 2))
        if cache is not None:
            K, V = cache
            K[:, :, at : at + T], V[:, :, at : at + T] = k, v
            k, v = K[:, :, : at + T], V[:, :, : at + T]
        p = self.p if self.training else 0.0
        z = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1, dropout_p=p)
        x = x + F.dropout(self.c_proj(z.transpose(1, 2).reshape(B, T, D)), self.p, self.training)
        y = self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))
        return x + F.dropout(y, self.p, self.training)


class GPT(nn.Module):
    """GPT-2 on PyTorch's fused attention, as nanoGPT writes it."""

    def __init__(self, c):
        super().__init__()
        D, inner = c["n_embd"], c.get("n_inner") or 4 * c["n_embd"]
        self.wte, self.wpe = nn.Embedding(c["vocab_size"], D), nn.Embedding(c["n_positions"], D)
        self.h = nn.ModuleList(Block(D, c["n_head"], inner, c["resid_pdrop"]) for _ in range(c["n_layer"]))
        self.ln_f, self.lm_head = nn.LayerNorm(D), nn.Linear(D, c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.wte.weight
        self.p, self.config = c["resid_pdrop"], c

    def read(self, weights):
        to = {"attn.c_attn": "c_attn", "attn.c_proj": "c_proj", "mlp.c_fc": "c_fc", "mlp.c_proj": "c_out"}
        state = {}
        for name, w in weights.items():
            for theirs, ours in to.items():
                if theirs in name:
                    name, w = name.replace(theirs, ours), w.T if w.dim() == 2 else w  # GPT-2 keeps matrices as [in, out]
                    break
            state[name] = w.contiguous()
        if self.config["tie_word_embeddings"]:
            state["lm_head.weight"] = state["wte.weight"]
        self.load_state_dict(state)

    def hidden(self, ids, caches=None, at=0):
        x = F.dropout(self.wte(ids) + self.wpe.weight[at : at + ids.shape[1]], self.p, self.training)
        for i, block in enumerate(self.h):
            x = block(x, caches and caches[i], at)
        return x

    def forward(self, ids):
        return self.lm_head(self.ln_f(self.hidden(ids)))

    def last(self, ids, caches=None, at=0):
        """The logits after the last token."""
        return self.lm_head(self.ln_f(self.hidden(ids, caches, at)[:, -1]))

    def logit(self, ids, target):
        """One logit after the last token: the cheapest that a user can ask for."""
        return self.ln_f(self.hidden(ids)[:, -1]) @ self.lm_head.weight[target]

    def without_dropout(self):
        self.p = 0.0
        for block in self.h:
            block.p = 0.0


class Pretrained(nn.Module):
    """A language model as transformers opens it, with the head computed as sparingly as GPT has it."""

    def __init__(self, folder):
        super().__init__()
        from transformers import AutoModelForCausalLM

        self.lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        self.wte, self.lm_head, self.layers = self.lm.get_input_embeddings(), self.lm.get_output_embeddings(), self.lm.model.layers

    def logit(self, ids, target):
        """Of token IDs [B, T], or of embeddings [B, T, D]."""
        given = {"inputs_embeds": ids} if ids.is_floating_point() else {"input_ids": ids}
        return self.lm.model(use_cache=False, **given).last_hidden_state[:, -1] @ self.lm_head.weight[target]


# Training and evaluation.


def batches(row, vocab, time_first):
    """Endless batches of ids and targets, those of bench/ours."""
    n = row["batch"] * row["length"]
    k = (np.arange(PERIOD * n + 1, dtype=np.uint64) + 1) * 0x9E3779B1 & 0xFFFFFFFF
    k = (k ^ k >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    k = (k ^ k >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    tokens = torch.tensor(((k ^ k >> 16) % vocab).astype(np.int64))
    for i in itertools.count():
        at = i % PERIOD * n
        pair = [tokens[a : a + n].view(row["batch"], row["length"]) for a in (at, at + 1)]
        yield [x.T.contiguous() for x in pair] if time_first else pair


def stepper(model, row, training=True, compiled=False):
    """A function that does one step, and returns the loss as a number."""
    recurrent = isinstance(model, WordLM)
    vocab = model.linear.out_features if recurrent else model.lm_head.out_features
    data = batches(row, vocab, recurrent)
    state = None
    if recurrent:
        state = tuple(torch.zeros(2, model.lstm.num_layers, row["batch"], model.lstm.hidden_size))
    run = torch.compile(model) if compiled else model
    model.train(training)
    optimiser = optimiser_of(model, row) if training else None

    def step():
        nonlocal state
        ids, targets = next(data)
        if recurrent:
            logits, state = run(ids, state)
            state = tuple(s.detach() for s in state)
        else:
            logits = run(ids)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        if training:
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), row["clip"])
            optimiser.step()
        return loss.detach()

    return step


def optimiser_of(model, row):
    if not row["weight_decay"]:
        return torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    groups = [{"params": [p for p in model.parameters() if (p.dim() >= 2) == decays], "weight_decay": decay}
              for decays, decay in ((True, row["weight_decay"]), (False, 0.0))]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, row["beta2"] or 0.999), fused=True)


def train(model, row, peer):
    start = {k: v.clone() for k, v in model.state_dict().items()}
    kept = (model.p, model.h[0].p) if isinstance(model, GPT) else (model.drop.p, model.lstm.dropout)
    model.without_dropout()
    check = stepper(model, row)
    losses = [check().item() for _ in range(CHECK_STEPS)]
    del check
    model.load_state_dict(start)
    if isinstance(model, GPT):
        model.p = kept[0]
        for block in model.h:
            block.p = kept[1]
    else:
        model.drop.p, model.lstm.dropout = kept
    step = stepper(model, row, compiled=peer == "torch compiled")

    def block():
        for _ in range(row["steps"]):
            loss = step()
        loss.item()

    return rates(block, row) | {"values": {"loss": losses}}


def evaluate(model, row, _):
    step = stepper(model, row, training=False)
    losses = []
    with torch.no_grad():
        began = time.perf_counter()
        losses.append(step().item())
        first = time.perf_counter() - began
        got = rates(lambda: losses.extend(step().item() for _ in range(row["steps"])), row, warm=0, most=max(row["samples"], 6))
    return got | {"first_seconds": first, "values": {"loss": [sum(losses) / len(losses)]}}


def rates(block, row, **settings):
    """Tokens a second of blocks of steps."""
    got = sample(block, row, **settings)
    tokens = row["steps"] * row["batch"] * row["length"]
    return got | {"samples": [tokens / ms * 1000 for ms in got["samples"]]}


# Generation and explanation. Each returns a function to be timed, which returns what it computed.


def generate(model, row, _):
    model.eval()
    if isinstance(model, Pretrained):
        return generate_pretrained(model, row)
    c = model.config
    L, H, D, room = c["n_layer"], c["n_head"], c["n_embd"], len(row["prompts"][0]) + row["tokens"]

    def run():
        caches = [torch.zeros(2, 1, H, room, D // H).unbind() for _ in range(L)]
        ids, at, out = torch.tensor(row["prompts"][:1]), 0, []
        for _ in range(row["tokens"]):
            ids, at = model.last(ids, caches, at).argmax(-1, keepdim=True), at + ids.shape[1]
            out.append(ids.item())
        return {"tokens": out}

    with torch.inference_mode():
        got = calls(run, row)
    return got | {"samples": [row["tokens"] / ms * 1000 for ms in got["samples"]]}


def generate_pretrained(model, row):
    ids = torch.tensor(row["prompts"][:1])

    def run():
        out = model.lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True, max_new_tokens=row["tokens"],
                                min_new_tokens=row["tokens"])
        return {"tokens": out[0, ids.shape[1]:].tolist()}

    with torch.inference_mode():
        got = calls(run, row)
    return got | {"samples": [row["tokens"] / ms * 1000 for ms in got["samples"]]}


def start(model, row, _):
    """From the process's start to its first explanation, with the fewest steps that are complete enough, unsearched."""
    model.eval()
    method = captum_ig(model, row)
    ids = torch.tensor(row["prompts"][:1])
    busy = processors()
    span = ends(model, row, ids)
    for n in STEPS:
        scores = method(ids, n)
        error = abs(scores.sum().item() - (span[0] - span[1])) / max(1e-9, abs(span[0] - span[1]))
        if error <= row["tolerance"]:
            break
    seconds = since_start()
    a, b = processors()
    others = min(1.0, max(0.0, ((a - busy[0]) - (b - busy[1])) / (os.cpu_count() * seconds)))
    return {"samples": [seconds], "first_seconds": seconds, "others": others, "values": {"value": span, "error": [error]}, "note": f"steps {n}"}


def memory(model, row, who):
    return start(model, row, who) | {"samples": [peak()]}


def since_start():
    f = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return float(pathlib.Path("/proc/uptime").read_text().split()[0]) - int(f[19]) / 100


def patch(model, row, _):
    """A forward pass for each cell, as hooks do it: the residual stream of another text at one layer and position."""
    model.eval()
    donor, ids = (torch.tensor([p]) for p in row["prompts"])
    residuals = []

    def keep(_, args):
        residuals.append(args[0].clone())

    def run():
        residuals.clear()
        hooks = [layer.register_forward_pre_hook(keep) for layer in model.layers]
        model.logit(donor, row["target"])
        for h in hooks:
            h.remove()
        cells = []
        for l, layer in enumerate(model.layers):
            for t in range(ids.shape[1]):
                h = layer.register_forward_pre_hook(functools.partial(replace, residuals[l], t))
                cells.append(model.logit(ids, row["target"]).item())
                h.remove()
        return {"cells": cells}

    def replace(residual, t, _, args):
        x = args[0].clone()
        x[:, t] = residual[:, t]
        return (x, *args[1:])

    with torch.no_grad():
        return calls(run, row)


def ig(model, row, _):
    model.eval()
    method = captum_ig(model, row)
    ids = torch.tensor(row["prompts"][:1])

    def run():
        return {"scores": method(ids, row["points"])[row["hold"]:].tolist()}

    return calls(run, row, lambda: {"value": ends(model, row, ids)})


def captum_ig(model, row):
    """Scores of a text's tokens [1, T] from so many steps."""
    from captum.attr import IntegratedGradients, LayerIntegratedGradients

    f = lambda x: model.logit(x, row["target"])
    most = lambda n: 64 if n > 64 else None
    if row["mean"]:
        method = IntegratedGradients(f)
        return lambda ids, n: method.attribute(model.wte(ids).detach(), baseline(row, model.wte(ids).detach(), model), n_steps=n,
                                               internal_batch_size=most(n)).sum(-1)[0]
    method = LayerIntegratedGradients(f, model.wte)
    return lambda ids, n: method.attribute(ids, baseline(row, ids), n_steps=n, internal_batch_size=most(n)).sum(-1)[0]


STEPS = [3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512]


def ig_equal_error(model, row, peer):
    """With 50 steps, as it comes; or with as few as do, which nobody knows beforehand: for all texts, or for each."""
    model.eval()
    method = captum_ig(model, row)
    texts = [torch.tensor([p]) for p in row["prompts"]]
    spans = [ends(model, row, t) for t in texts]

    def scores(t, n):
        return method(t, n)

    def error(s, span):
        return abs(s.sum().item() - (span[0] - span[1])) / max(1e-9, abs(span[0] - span[1]))

    def enough(which):
        """The first number of steps that does for some texts."""
        def holds(n):
            return all(error(scores(texts[k], n), spans[k]) <= row["tolerance"] for k in which)
        return next((n for n in STEPS if holds(n)), None)

    every = range(len(texts))
    if "each" in peer:
        steps = [enough([k]) for k in every]
    else:
        steps = [enough(every) if "fewest" in peer else 50] * len(texts)
    if None in steps:
        raise SystemExit(f"no number of steps up to {STEPS[-1]} reaches an error of {row['tolerance']}")

    def run():
        found = [scores(t, n) for t, n in zip(texts, steps)]
        return {"scores": torch.cat([s[row["hold"]:] for s in found]).tolist(), "error": [error(s, e) for s, e in zip(found, spans)]}

    got = calls(run, row, lambda: {"value": sum(spans, [])})
    return got | {"samples": [ms / len(texts) for ms in got["samples"]], "note": f"steps {steps}"}


def occlusion(model, row, peer):
    from captum.attr import FeatureAblation

    ids, f = captum_game(model, row)
    method = FeatureAblation(f)
    batch = ids.shape[1] if "batched" in peer else 1

    def run():
        return {"scores": method.attribute(ids, baselines=row["baseline"], perturbations_per_eval=batch)[0].tolist()}

    with torch.no_grad():
        return calls(run, row, lambda: {"value": ends(model, row, ids)})


def lime(model, row, _):
    from lime.lime_text import LimeTextExplainer

    ids, f = captum_game(model, row)
    words = " ".join(f"w{i}" for i in row["prompts"][0])
    explainer = LimeTextExplainer(bow=False, mask_string=f"w{row['baseline']}", random_state=1)

    def classify(texts):
        rows = torch.tensor([[int(w[1:]) for w in t.split()] for t in texts])
        return in_batches(f, rows)[:, None].cpu().numpy()

    def run():
        found = explainer.explain_instance(words, classify, labels=(0,), num_features=ids.shape[1], num_samples=row["draws"])
        return {"scores": [s for _, s in sorted(found.as_map()[0])]}

    with torch.no_grad():
        return calls(run, row, lambda: {"value": ends(model, row, ids)})


def kernelshap(model, row, peer):
    ids, f = captum_game(model, row)
    if peer == "shap":
        import shap

        explainer = shap.KernelExplainer(lambda rows: in_batches(f, torch.tensor(rows)).cpu().numpy(), np.full((1, ids.shape[1]), row["baseline"]))

        def run():
            return {"scores": explainer.shap_values(ids.cpu().numpy(), nsamples=row["draws"], silent=True)[0].tolist()}
    else:
        from captum.attr import KernelShap

        method = KernelShap(f)
        batch = BATCH if "batched" in peer else 1

        x, mask = ids, torch.arange(ids.shape[1])[None]  # which feature each token is; a held one shares the next one's, and stays
        mask = (mask - int(row["hold"])).clamp(min=0)
        if row["mean"]:
            x = model.wte(ids).detach()
            mask = mask[..., None].expand_as(x)

        def run():
            found = method.attribute(x, baselines=baseline(row, x, model), n_samples=row["draws"], perturbations_per_eval=batch,
                                     feature_mask=mask, return_input_shape=False)
            return {"scores": found[0].tolist()}

    with torch.no_grad():
        return calls(run, row, lambda: {"value": ends(model, row, ids)})


def shapley_exact(model, row, _):
    """All coalitions by hand, as Captum has no way short of all orders."""
    ids, f = captum_game(model, row)
    M = ids.shape[1]

    def run():
        masks = torch.arange(1 << M)[:, None] >> torch.arange(M) & 1
        v = in_batches(f, torch.where(masks.bool(), ids, row["baseline"])).cpu().numpy().astype(np.float64)
        masks = masks.cpu()
        size = masks.sum(1).numpy()
        weight = np.array([1 / (M * math.comb(M - 1, s)) for s in range(M)])
        scores = []
        for i in range(M):
            without = np.flatnonzero(masks[:, i].numpy() == 0)
            scores.append(float((weight[size[without]] * (v[without | 1 << i] - v[without])).sum()))
        return {"scores": scores}

    with torch.no_grad():
        return calls(run, row, lambda: {"value": ends(model, row, ids)})


BATCH = 256  # rows at once: at 12 tokens this machine is fastest there


def captum_game(model, row):
    model.eval()
    return torch.tensor(row["prompts"][:1]), lambda ids: model.logit(ids, row["target"])


def in_batches(f, rows):
    return torch.cat([f(part) for part in rows.split(BATCH)]).detach()


def ends(model, row, ids):
    """The objective on the input and on the baseline."""
    with torch.no_grad():
        x = model.wte(ids) if row["mean"] else ids
        return [model.logit(x, row["target"]).item() for x in (x, baseline(row, x, model))]


def baseline(row, x, model=None):
    """What stands for the absent text x, tokens or embeddings: one all along, but for the first where that is held."""
    if x.is_floating_point():
        base = model.wte.weight.detach().mean(0).expand_as(x).clone()
    else:
        base = torch.full_like(x, row["baseline"])
    if row["hold"]:
        base[:, 0] = x[:, 0]
    return base


MEASURES = {"train": train, "eval": evaluate, "generate": generate, "ig": ig, "ig-equal-error": ig_equal_error, "occlusion": occlusion,
            "lime": lime, "kernelshap": kernelshap, "shapley-exact": shapley_exact, "start": start, "memory": memory, "patch": patch}


# Measuring, as bench/ours does it.


def calls(run, row, also=lambda: {}):
    values = {}
    got = sample(lambda: values.update(run()), row, warm=2)
    return got | {"values": values | also()}


def sample(do, row, warm=1, most=None):
    """Milliseconds of calls: until there are samples enough and seconds have passed; or a given number."""
    began = time.perf_counter()
    first = None
    for _ in range(warm):
        do()
        first = first or time.perf_counter() - began
        if first > 5:  # seconds, as in bench/ours
            break
    found, before, began = [], processors(), time.perf_counter()
    last = began
    while len(found) < most if most else not found or len(found) < row["samples"] or last - began < row["seconds"]:
        do()
        now = time.perf_counter()
        found.append((now - last) * 1000)
        last = now
    busy, own = (b - a for a, b in zip(before, processors()))
    others = min(1.0, max(0.0, (busy - own) / (os.cpu_count() * (last - began))))
    return {"samples": found, "first_seconds": first, "others": others}


def processors():
    """Seconds that all processors, and this process, have worked so far. Time given to other machines counts."""
    f = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()
    busy = sum(int(f[i]) for i in (1, 2, 3, 6, 7, 8)) / 100
    f = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return busy, (int(f[11]) + int(f[12])) / 100


def peak():
    line = next(x for x in pathlib.Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
