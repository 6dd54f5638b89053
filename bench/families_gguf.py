"""Writes the tiny models of families.py as GGUF files: names, orders and metadata as llama.cpp's conversion has them."""

import math

import gguf
import numpy as np

ARCH = {"gpt2": "gpt2", "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt_neox": "gptneox", "gemma2": "gemma2",
        "gemma3_text": "gemma3", "olmo2": "olmo2", "phi": "phi2", "phi3": "phi3", "smollm3": "smollm3"}


def write(path, kind, config, weights):
    """weights are Hugging Face's, by name. What llama.cpp cannot say (a window in these Qwens, a norm of Phi) is not written."""
    if kind not in ARCH or getattr(config, "qk_layernorm", False):
        return
    if kind in ("qwen2", "qwen3") and config.use_sliding_window:
        return
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCH[kind])
    w = gguf.GGUFWriter(path, ARCH[kind])
    metadata(w, kind, config)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, x in weights.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        x = converted(kind, config, name, x)
        ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert ours, name
        half = x.ndim == 2 and kind != "llama"
        w.add_tensor(ours, x.astype(np.float16 if half else np.float32))
    extra(w, kind, config)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def head_width(c):
    return getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads


def metadata(w, kind, c):
    D, H = c.hidden_size, c.num_attention_heads
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(D)
    w.add_feed_forward_length(c.n_inner if kind == "gpt2" else c.intermediate_size)
    w.add_head_count(H)
    if kind in ("gpt2", "gpt_neox", "phi"):
        w.add_layer_norm_eps(c.layer_norm_epsilon if kind == "gpt2" else c.layer_norm_eps)
    else:
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
    if kind not in ("gpt2", "gpt_neox"):
        w.add_head_count_kv(c.num_key_value_heads)
    rope = getattr(c, "rope_parameters", None)
    if kind == "gemma3_text":
        rope = rope["full_attention"]
    if kind in ("gpt_neox", "phi", "phi3", "llama", "smollm3"):
        w.add_rope_dimension_count(int(rope.get("partial_rotary_factor", 1.0) * head_width(c)))
    if rope and (kind != "gpt_neox" or rope["rope_theta"] != 10000):  # what the conversion of NeoX takes for granted
        w.add_rope_freq_base(rope["rope_theta"])
    if rope and rope["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    if kind in ("llama", "qwen3", "gemma2", "gemma3_text", "smollm3") and getattr(c, "head_dim", None):
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
    if kind == "llama":
        w.add_vocab_size(c.vocab_size)
    if kind == "gpt_neox":
        w.add_parallel_residual(c.use_parallel_residual)
    if kind == "gemma2":
        w.add_attn_logit_softcapping(c.attn_logit_softcapping)
        w.add_final_logit_softcapping(c.final_logit_softcapping)
    if kind in ("gemma2", "gemma3_text", "phi3"):
        w.add_sliding_window(c.sliding_window or 0)
    if kind == "gemma2":
        w.add_attention_scale(c.query_pre_attn_scalar**-0.5)
    if kind == "gemma3_text":
        w.add_sliding_window_pattern([t == "sliding_attention" for t in c.layer_types])
        w.add_rope_freq_base_swa(c.rope_parameters["sliding_attention"]["rope_theta"])
    if kind == "phi3":
        w.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)


def converted(kind, c, name, x):
    """A tensor as the file holds it."""
    x = np.ascontiguousarray(x)
    if kind == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return np.ascontiguousarray(x.T)
    if kind in ("llama", "smollm3") and ".q_proj." in name:
        return pairs(x, c.num_attention_heads)
    if kind in ("llama", "smollm3") and ".k_proj." in name:
        return pairs(x, c.num_key_value_heads)
    if kind == "gpt_neox" and ".query_key_value." in name:
        H, D = c.num_attention_heads, c.hidden_size
        return np.ascontiguousarray(x.reshape(H, 3, D // H, -1).swapaxes(0, 1).reshape(x.shape))
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return x + 1
    return x


def pairs(x, heads):
    """Rows of a head: those that turn together stand side by side."""
    return np.ascontiguousarray(x.reshape(heads, 2, x.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(x.shape))


def extra(w, kind, c):
    """Tensors that say how frequencies are scaled."""
    rope = getattr(c, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        K, low, high = head_width(c), rope["low_freq_factor"], rope["high_freq_factor"]
        divisors = []
        for j in range(0, K, 2):
            wavelength = 2 * math.pi * rope["rope_theta"] ** (j / K)
            turns = rope["original_max_position_embeddings"] / wavelength
            share = min(1, max(0, (turns - low) / (high - low)))
            divisors.append(1 / ((1 - share) / rope["factor"] + share))
        w.add_tensor("rope_freqs.weight", np.array(divisors, np.float32))
    if rope.get("rope_type") == "longrope":
        factor = c.max_position_embeddings / c.original_max_position_embeddings
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(factor) / math.log(c.original_max_position_embeddings)))
        w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))
