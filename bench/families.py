"""Makes the frozen references of the model families: tiny random models, written and run by Hugging Face's own classes.

    $(bench/venv.sh --families) bench/families.py

writes lmkit/lm/testdata/families/ (or the folder given as the only argument): for each entry of FAMILIES a model
directory as transformers saves it (config.json, model.safetensors), with config.old.json, which says the same in the
spelling of transformers 4, and expected.safetensors; and NAME.gguf beside it, where llama.cpp has the family. llama is
there in three number types and in shards, and gemma3 holds gemma3_text beside an image encoder: the same numbers.

Every switch of a family is on: windows shorter than the text, rotary scalings, caps, norms of queries and keys, biases,
heads whose width is not the model's divided by their number, groups of keys and values. Norms have random gains.
All weights are multiples of 1/256 that bfloat16 and float16 hold exactly. Runs are float32, attention is "eager".

expected.safetensors (B rows, T tokens, V vocabulary, D width; ids are int64):
    ids [B,T]              logits [B,T,V]
    hidden [L+1,B,T,D]     the residual stream before each layer and after the last
    target, foil [B]       f [B] = logits[b, T-1, target[b]] - logits[b, T-1, foil[b]]
    tap/NAME, dtap/NAME    an activation under lmkit's name, and the derivative of sum(f) with respect to it: those of
                           layer 1, and those outside the layers
    greedy [B,N]           what generation with a cache adds to ids
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import families_gguf

B, T, V, L, NEW = 2, 7, 23, 3, 6
HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "lmkit" / "lm" / "testdata" / "families"

# What most of them have.
WIDE = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": L, "num_attention_heads": 4, "max_position_embeddings": 32,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
GROUPED = WIDE | {"num_key_value_heads": 2, "intermediate_size": 20}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
LONG = {"rope_type": "longrope", "rope_theta": 50.0, "partial_rotary_factor": 0.75, "short_factor": [1.0, 1.25, 1.75],
        "long_factor": [1.5, 3.0, 6.0], "original_max_position_embeddings": 16}
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": theta} | more


# name: (model_type, number type of the file, configuration)
FAMILIES = {
    "gpt2": ("gpt2", "float16", {"vocab_size": V, "n_positions": 16, "n_embd": 16, "n_layer": L, "n_head": 4, "n_inner": 20,
                                 "activation_function": "gelu_new", "layer_norm_epsilon": 1e-3,
                                 "bos_token_id": None, "eos_token_id": None}),
    "llama": ("llama", "float32", GROUPED | {"head_dim": 6, "attention_bias": True, "mlp_bias": True, "rms_norm_eps": 1e-3,
                                             "tie_word_embeddings": False, "rope_parameters": LLAMA3}),
    "llama-linear": ("llama", "bfloat16", GROUPED | {"num_key_value_heads": 1, "tie_word_embeddings": True,
                                                     "rope_parameters": rope(50.0, rope_type="linear", factor=2.5)}),
    "mistral": ("mistral", "bfloat16", GROUPED | {"head_dim": 6, "sliding_window": 3, "rope_parameters": rope(500.0)}),
    "qwen2": ("qwen2", "bfloat16", GROUPED | {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2,
                                              "tie_word_embeddings": True, "rms_norm_eps": 1e-4,
                                              "rope_parameters": rope(1000.0)}),
    "qwen2-full": ("qwen2", "float16", GROUPED | {"tie_word_embeddings": False, "rope_parameters": rope(1000.0)}),
    "qwen3": ("qwen3", "float16", GROUPED | {"head_dim": 6, "attention_bias": False, "rope_parameters": rope(1000.0)}),
    "qwen3-window": ("qwen3", "float16", GROUPED | {
        "head_dim": 6, "attention_bias": True, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1,
        "rope_parameters": rope(1000.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=8)}),
    "gpt_neox": ("gpt_neox", "float16", WIDE | {"num_attention_heads": 2, "intermediate_size": 20, "layer_norm_eps": 1e-3,
                                                "use_parallel_residual": True, "hidden_act": "gelu",
                                                "rope_parameters": rope(100.0, partial_rotary_factor=0.5)}),
    "gpt_neox-sequential": ("gpt_neox", "bfloat16", WIDE | {
        "num_attention_heads": 2, "intermediate_size": 20, "use_parallel_residual": False, "attention_bias": False,
        "hidden_act": "gelu", "rope_parameters": rope(10000.0, partial_rotary_factor=0.25)}),
    "gemma2": ("gemma2", "bfloat16", GROUPED | {
        "hidden_size": 20, "head_dim": 6, "query_pre_attn_scalar": 10, "sliding_window": 3, "rms_norm_eps": 1e-4,
        "final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0, "rope_parameters": rope(1000.0)}),
    "gemma3_text": ("gemma3_text", "bfloat16", GROUPED | {
        "hidden_size": 20, "head_dim": 6, "query_pre_attn_scalar": 6, "sliding_window": 3, "layer_types": LAYERS,
        "rms_norm_eps": 1e-4,
        "rope_parameters": {"full_attention": rope(1000.0, rope_type="linear", factor=4.0),
                            "sliding_attention": rope(50.0)}}),
    "olmo2": ("olmo2", "float16", GROUPED | {"rms_norm_eps": 1e-4, "rope_parameters": rope(500.0)}),
    "opt": ("opt", "float16", WIDE | {"ffn_dim": 20, "word_embed_proj_dim": 16}),
    "opt-post": ("opt", "float16", WIDE | {"ffn_dim": 20, "word_embed_proj_dim": 12, "do_layer_norm_before": False}),
    "phi": ("phi", "float16", GROUPED | {"num_attention_heads": 2, "num_key_value_heads": 1, "qk_layernorm": True,
                                         "rope_parameters": rope(100.0, partial_rotary_factor=0.5)}),
    "phi-plain": ("phi", "bfloat16", GROUPED | {"num_attention_heads": 2, "num_key_value_heads": 2, "layer_norm_eps": 1e-3,
                                                "rope_parameters": rope(10000.0, partial_rotary_factor=0.5)}),
    "phi3": ("phi3", "bfloat16", GROUPED | {"hidden_size": 24, "num_attention_heads": 3, "num_key_value_heads": 1,
                                            "rope_parameters": LONG, "original_max_position_embeddings": 16}),
    "phi3-window": ("phi3", "bfloat16", GROUPED | {"sliding_window": 3, "tie_word_embeddings": True,
                                                   "rope_parameters": rope(100.0)}),
    "smollm3": ("smollm3", "bfloat16", GROUPED | {"num_hidden_layers": 4, "attention_bias": True, "mlp_bias": True,
                                                  "rope_parameters": rope(100.0)}),
}

# Where activations are: of each module its name in lmkit; "+" after a name: the module is a norm. mid is the module that
# reads the residual stream between attention and feed-forward layer.
LLAMA = {"layers": "model.layers", "embed": "model.embed_tokens", "final": "model.norm", "mid": "post_attention_layernorm",
         "in": {"input_layernorm": "ln1+", "self_attn.q_proj": "attn.q", "self_attn.k_proj": "attn.k",
                "self_attn.v_proj": "attn.v", "self_attn.o_proj": "attn.out", "self_attn.q_norm": "attn.q_norm+",
                "self_attn.k_norm": "attn.k_norm+", "post_attention_layernorm": "ln2+", "mlp.gate_proj": "mlp.gate",
                "mlp.up_proj": "mlp.up", "mlp.down_proj": "mlp.out"}}
FC = {"mlp.gate_proj": None, "mlp.up_proj": None, "mlp.down_proj": None, "mlp.fc1": "mlp.pre", "mlp.fc2": "mlp.out"}


def like(base, modules, **more):
    return base | more | {"in": {k: v for k, v in (base["in"] | modules).items() if v}}


GEMMA = like(LLAMA, {"post_attention_layernorm": "ln1_post+", "pre_feedforward_layernorm": "ln2+",
                     "post_feedforward_layernorm": "ln2_post+"}, mid="pre_feedforward_layernorm")
MODULES = {
    "gpt2": {"layers": "transformer.h", "embed": "transformer.wte", "pos_embed": "transformer.wpe",
             "final": "transformer.ln_f", "mid": "ln_2",
             "in": {"ln_1": "ln1+", "attn.c_attn": "attn.q k v", "attn.c_proj": "attn.out", "ln_2": "ln2+",
                    "mlp.c_fc": "mlp.pre", "mlp.c_proj": "mlp.out"}},
    "llama": LLAMA, "mistral": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA, "smollm3": LLAMA,
    "gemma2": GEMMA, "gemma3_text": GEMMA,
    "olmo2": like(GEMMA, {"input_layernorm": None, "pre_feedforward_layernorm": None}, mid="mlp"),
    "gpt_neox": {"layers": "gpt_neox.layers", "embed": "gpt_neox.embed_in", "final": "gpt_neox.final_layer_norm",
                 "mid": "post_attention_layernorm",
                 "in": {"input_layernorm": "ln1+", "attention.query_key_value": "attn.q k v of heads",
                        "attention.dense": "attn.out", "post_attention_layernorm": "ln2+",
                        "mlp.dense_h_to_4h": "mlp.pre", "mlp.dense_4h_to_h": "mlp.out"}},
    "opt": {"layers": "model.decoder.layers", "embed": "model.decoder.embed_tokens",
            "pos_embed": "model.decoder.embed_positions", "final": "model.decoder.final_layer_norm", "mid": "final_layer_norm",
            "in": {"self_attn_layer_norm": "ln1+", "self_attn.q_proj": "attn.q", "self_attn.k_proj": "attn.k",
                   "self_attn.v_proj": "attn.v", "self_attn.out_proj": "attn.out", "final_layer_norm": "ln2+",
                   "fc1": "mlp.pre", "fc2": "mlp.out"}},
    "phi": like(LLAMA, FC | {"self_attn.o_proj": None, "self_attn.dense": "attn.out", "post_attention_layernorm": None,
                             "self_attn.q_layernorm": "attn.q_norm+", "self_attn.k_layernorm": "attn.k_norm+"},
                final="model.final_layernorm", mid=None),
    "phi3": like(LLAMA, {"self_attn.qkv_proj": "attn.q k v", "mlp.gate_up_proj": "mlp.gate up"}),
}


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    shutil.rmtree(out, ignore_errors=True)
    for seed, (name, (kind, dtype, given)) in enumerate(FAMILIES.items()):
        rng = np.random.default_rng(7000 + seed)
        config = transformers.AutoConfig.for_model(kind, **json.loads(json.dumps(given)))
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        randomise(model, rng)
        folder = out / name
        folder.mkdir(parents=True)
        expected = expect(model, kind, rng)
        save_file({k: stored(v) for k, v in expected.items()}, folder / "expected.safetensors")
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        old = old_spelling(kind, json.loads((folder / "config.json").read_text()))
        (folder / "config.old.json").write_text(json.dumps(old, indent=2) + "\n")
        weights = {k: v.float().numpy() for k, v in model.state_dict().items()}
        families_gguf.write(out / (name + ".gguf"), kind, model.config, weights)
        if name == "llama":
            other_files(model, out)
        if name == "gemma3_text":
            with_eyes(model, out / "gemma3")
        print(name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")
    for f in out.rglob("*.safetensors"):
        f.chmod(0o644)
    for f in out.rglob("generation_config.json"):
        f.unlink()


def other_files(model, out):
    """The same model in other number types, and in shards."""
    for dtype in ("float16", "bfloat16"):
        model.to(getattr(torch, dtype)).save_pretrained(out / ("llama-" + dtype))
    model.save_pretrained(out / "llama-shards", max_shard_size="8KB")


def with_eyes(model, folder):
    """The same model as the text part of one that also sees."""
    torch.manual_seed(1)
    vision = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 4,
              "patch_size": 2}
    config = transformers.Gemma3Config(text_config=model.config.to_dict(), vision_config=vision, mm_tokens_per_image=4)
    whole = transformers.Gemma3ForConditionalGeneration(config).to(torch.bfloat16)
    whole.model.language_model.load_state_dict(model.model.state_dict())
    whole.tie_weights()
    whole.save_pretrained(folder)


def randomise(model, rng):
    """Random multiples of 1/256 below 1 in matrices and biases; gains of norms are multiples of 1/64 around their mean."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and name.endswith("weight"):
                centre = 0.0 if "Gemma" in type(model).__name__ else 1.0
                draw = centre + np.clip(rng.standard_normal(p.shape) * 0.3, -0.9, 0.9)
                draw = np.round(draw * 64) / 64
            else:
                draw = np.clip(rng.standard_normal(p.shape) * (0.3 if p.ndim == 2 else 0.2), -0.99, 0.99)
                draw = np.round(draw * 256) / 256
            p.copy_(torch.tensor(draw, dtype=torch.float32))
    if model.config.tie_word_embeddings:
        model.tie_weights()


def stored(x):
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return np.ascontiguousarray(x if x.dtype == np.int64 else x.astype(np.float32))


# What a model must answer.


def expect(model, kind, rng):
    ids = torch.tensor(rng.integers(0, V, (B, T)))
    target = torch.tensor(rng.integers(0, V, B))
    foil = (target + 1 + torch.tensor(rng.integers(0, V - 1, B))) % V
    watch = Watch(model, MODULES[kind])
    logits = model(input_ids=ids, use_cache=False).logits
    watch.stop()
    rows = torch.arange(B)
    f = logits[rows, -1, target] - logits[rows, -1, foil]
    want = {"ids": ids, "target": target, "foil": foil, "logits": logits, "f": f}
    want["hidden"] = torch.stack([watch.streams[0][0]] + [after for _, after in watch.streams])
    watch.taps(want, f.sum())
    full = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, use_cache=True)
    want["greedy"] = full[:, T:]
    check_greedy(model, full)
    return want


def check_greedy(model, full):
    """The choices are the whole forward pass's, and not a matter of rounding."""
    with torch.no_grad():
        logits = model(input_ids=full[:, :-1], use_cache=False).logits[:, T - 1 :]
    top = logits.topk(2).values
    assert torch.equal(logits.argmax(-1), full[:, T:])
    assert (top[..., 0] - top[..., 1]).min() > 1e-3, (top[..., 0] - top[..., 1]).min()


class Watch:
    """Keeps what a model computes as it runs, and names it as lmkit does."""

    def __init__(self, model, modules):
        self.model, self.modules = model, modules
        self.seen, self.streams, self.attended, self.hooks = {}, [], [], []
        for name, module in model.named_modules():
            self.hooks.append(module.register_forward_hook(self.keep(name)))
        self.layers = model.get_submodule(modules["layers"])
        self.home = sys.modules[type(model).__module__]
        self.eager = self.home.eager_attention_forward
        self.home.eager_attention_forward = self.attend

    def keep(self, name):
        def hook(module, args, out):
            self.seen[name] = (args[0] if args else None, out)
            if module in self.layers:
                self.streams.append((args[0], out[0] if isinstance(out, tuple) else out))

        return hook

    def attend(self, module, q, k, v, mask, scaling=None, softcap=None, **more):
        z, pattern = self.eager(module, q, k, v, mask, scaling=scaling, **more | ({"softcap": softcap} if softcap else {}))
        scores = q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT * (scaling or q.shape[-1] ** -0.5)
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        torch.testing.assert_close((scores + mask).softmax(-1), pattern)
        self.attended.append((q, k, scores, pattern, z))
        return z, pattern

    def stop(self):
        for h in self.hooks:
            h.remove()
        self.home.eager_attention_forward = self.eager

    def taps(self, want, y):
        """Adds tap/NAME and dtap/NAME."""
        def put(name, x, on=None, part=lambda x: x):
            # x = part(on): gradients are those of on, the tensor in the graph.
            want["tap/" + name] = x
            want["dtap/" + name] = part(torch.autograd.grad(y, x if on is None else on, retain_graph=True)[0])

        self.outside(put, want)
        self.layer(put, 1)
        want["tap/block.1.attn.scores"] = self.attended[1][2]

    def outside(self, put, want):
        ids = want["ids"]
        _, x = self.seen[self.modules["embed"]]
        raw = self.model.get_input_embeddings().weight[ids]
        scale = (x / raw)[raw.abs() > 0.1].mean().item()
        torch.testing.assert_close(raw * scale, x)
        put("embed", raw, x, lambda g: g * scale if g.shape == x.shape else g)
        if "pos_embed" in self.modules:
            _, x = self.seen[self.modules["pos_embed"]]
            put("pos_embed", x.expand(B, T, -1), self.streams[0][0])
        self.norm(put, "final.", self.modules["final"])
        before = self.seen["embed_out" if "embed_out" in self.seen else "lm_head"][0]
        put("head.in", before)

    def layer(self, put, i):
        at, path = f"block.{i}.", f"{self.modules['layers']}.{i}."
        config = self.model.config
        H = config.num_attention_heads
        q, k, scores, pattern, z = self.attended[i]
        K = z.shape[-1]
        before, after = self.streams[i]
        put(at + "resid.pre", before)
        put(at + "resid.post", after)
        turned = "rope_parameters" in config and (getattr(config, "no_rope_layers", None) or [1] * 9)[i]
        if turned:
            put(at + "attn.q_rot", q.transpose(1, 2), q, lambda g: g.transpose(1, 2))
            put(at + "attn.k_rot", k.transpose(1, 2), k, lambda g: g.transpose(1, 2))
        put(at + "attn.pattern", pattern)
        put(at + "attn.z", z)
        for module, tap in self.modules["in"].items():
            if path + module not in self.seen:
                continue
            _, x = self.seen[path + module]
            if tap.endswith("+"):
                after = "_post" if self.after_sums() else ""
                self.norm(put, at + tap[:-1] + after + ".", path + module)
            elif tap == "attn.q k v of heads":
                for j, name in enumerate("qkv"):
                    part = lambda x, j=j: x.reshape(B, T, H, 3, K)[:, :, :, j]
                    put(at + "attn." + name, part(x), x, part)
            elif tap == "attn.q k v":
                G = (x.shape[-1] // K - H) // 2
                for name, first, n in (("q", 0, H), ("k", H, G), ("v", H + G, G)):
                    part = lambda x, first=first, n=n: x.reshape(B, T, -1, K)[:, :, first : first + n]
                    put(at + "attn." + name, part(x), x, part)
            elif tap == "mlp.gate up":
                for j, name in enumerate(("gate", "up")):
                    put(at + "mlp." + name, x.chunk(2, -1)[j], x, lambda g, j=j: g.chunk(2, -1)[j])
            elif tap in ("attn.q", "attn.k", "attn.v"):
                put(at + tap, x.reshape(B, T, -1, K), x, lambda g: g.reshape(B, T, -1, K))
            else:
                put(at + tap, x.reshape(B, T, -1), x, lambda g: g.reshape(B, T, -1))
        self.between(put, at, path)

    def between(self, put, at, path):
        """What the feed-forward layer reads and holds."""
        out = next(m for m, tap in self.modules["in"].items() if tap == "mlp.out")
        x, _ = self.seen[path + out]
        put(at + "mlp.post", x.reshape(B, T, -1), x, lambda g: g.reshape(B, T, -1))
        if self.modules["mid"] is None or getattr(self.model.config, "use_parallel_residual", False):
            return
        x, _ = self.seen[path + self.modules["mid"]]
        if self.after_sums():
            _, x = self.seen[path + "self_attn_layer_norm"]
        put(at + "resid.mid", x.reshape(B, T, -1), x, lambda g: g.reshape(B, T, -1))

    def after_sums(self):
        """Whether norms stand after the sums (OPT 350M)."""
        return getattr(self.model.config, "do_layer_norm_before", True) is False

    def norm(self, put, at, path):
        """scale and normalized, by the definition; their derivatives follow from that of what the norm returns."""
        if path not in self.seen:
            return
        module = self.model.get_submodule(path)
        x, y = self.seen[path]
        eps = next(e for e in (getattr(module, n, None) for n in ("eps", "variance_epsilon")) if e is not None)
        gain = module.weight + (1 if "Gemma" in type(module).__name__ else 0)
        if isinstance(module, torch.nn.LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        scale = torch.sqrt((x * x).mean(-1, keepdim=True) + eps)
        normalized = x / scale
        bias = module.bias if isinstance(module, torch.nn.LayerNorm) else 0
        torch.testing.assert_close(normalized * gain + bias, y, rtol=1e-4, atol=1e-5)

        # Norms of each head are given [B,H,T,K]; the activation is [B,T,H,K].
        def order(x):
            return x.transpose(1, 2) if x.ndim == 4 and self.heads_first(path, x) else x.reshape(B, T, *x.shape[-1:]) if x.ndim == 2 else x

        put(at + "normalized", order(normalized), y, lambda g: order(g * gain))
        put(at + "scale", order(scale), y, lambda g: order(-(g * gain * normalized).sum(-1, keepdim=True) / scale))

    def heads_first(self, path, x):
        return x.shape[2] == T and x.shape[1] != T


# The other spelling.


def old_spelling(kind, config):
    """config.json as transformers 4 wrote it."""
    c = dict(config)
    c["torch_dtype"] = c.pop("dtype")
    rope = c.pop("rope_parameters", None)
    if rope is None:
        return c
    if kind == "gemma3_text":
        del c["layer_types"]
        full, sliding = rope["full_attention"], rope["sliding_attention"]
        c |= {"rope_theta": full["rope_theta"], "rope_local_base_freq": sliding["rope_theta"], "sliding_window_pattern": 2,
              "rope_scaling": {"rope_type": full["rope_type"], "factor": full["factor"]}}
        return c
    rope = dict(rope)
    theta, part, how = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None), rope.pop("rope_type")
    if kind == "gpt_neox":
        c |= {"rotary_emb_base": theta, "rotary_pct": part}
    else:
        c["rope_theta"] = theta
        if part is not None and kind in ("phi", "phi3"):
            c["partial_rotary_factor"] = part
    if how != "default":
        word = "type" if kind in ("phi3", "llama") else "rope_type"
        c["rope_scaling"] = {word: how} | rope
    if kind in ("mistral", "gemma2"):
        c.pop("layer_types", None)
    return c


if __name__ == "__main__":
    main()
