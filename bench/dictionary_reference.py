"""Writes lmkit/inspect/testdata/dictionary.json: sparse autoencoders and what they make of activations.

Plain Python, by the definitions: z = act((x - shift) W_enc + b_enc), x^ = z W_dec + b_dec.
"""
import json
import pathlib
import random

D, F, N = 5, 9, 4
rng = random.Random(7)


def draw(*dims):
    if len(dims) == 1:
        return [round(rng.gauss(0, 1), 4) for _ in range(dims[0])]
    return [draw(*dims[1:]) for _ in range(dims[0])]


def relu(y):
    return [max(v, 0.0) for v in y]


def top(k):
    def act(y):
        kept = sorted(range(F), key=lambda i: -y[i])[:k]
        return [max(v, 0.0) if i in kept else 0.0 for i, v in enumerate(y)]

    return act


def jump(threshold):
    return lambda y: [v if v > t and v > 0 else 0.0 for v, t in zip(y, threshold)]


def case(name, settings, act, shifted, threshold=None):
    t = {"W_enc": draw(D, F), "W_dec": draw(F, D), "b_enc": draw(F), "b_dec": draw(D)}
    if threshold:
        t["threshold"] = threshold
    x = draw(N, D)
    z, made = [], []
    for row in x:
        moved = [v - (t["b_dec"][d] if shifted else 0) for d, v in enumerate(row)]
        z.append(act([sum(moved[d] * t["W_enc"][d][f] for d in range(D)) + t["b_enc"][f] for f in range(F)]))
        made.append([sum(z[-1][f] * t["W_dec"][f][d] for f in range(F)) + t["b_dec"][d] for d in range(D)])
    return {"name": name, "settings": settings, "tensors": t, "x": x, "z": z, "made": made}


limits = [round(abs(v), 4) for v in draw(F)]
cases = [
    case("relu", {}, relu, True),
    case("relu, not shifted",
         {"architecture": "standard", "activation_fn_str": "relu", "apply_b_dec_to_input": False,
          "normalize_activations": "none", "hook_name": "blocks.1.hook_resid_post"}, relu, False),
    case("top k", {"architecture": "topk", "k": 3, "apply_b_dec_to_input": True,
                   "metadata": {"hook_name": "blocks.0.hook_mlp_out"}}, top(3), True),
    case("top k, by its older name", {"activation_fn": "topk", "activation_fn_kwargs": {"k": 2}}, top(2), True),
    case("jump", {"architecture": "jumprelu", "apply_b_dec_to_input": False}, jump(limits), False, limits),
]
path = pathlib.Path(__file__).parent.parent / "lmkit/inspect/testdata/dictionary.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(cases) + "\n")
