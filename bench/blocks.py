"""Freezes what the Python package gguf makes of random blocks of every number type of GGUF files that lmkit reads.

    $(bench/venv.sh --families) bench/blocks.py

writes lmkit/internal/number/testdata/TYPE.bin: the blocks, then the float32 numbers that they stand for. Every bit of a
block is random, but for the scales, which are halves of moderate size, of either sign, some of them subnormal or zero.
It also writes lmkit/internal/gguf/testdata/sample.gguf: a setting of each type, and small tensors, by the package's writer.
"""

import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

OUT = pathlib.Path(__file__).parent.parent / "lmkit/internal/number/testdata"
SAMPLE = OUT.parent.parent / "gguf/testdata/sample.gguf"
HALVES = {  # where the halves of a block are
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
SPECIAL = np.array([0.0, -0.0, 2**-24, -(2**-24), 2**-14 - 2**-24, 65504, -65504], np.float16)


def main():
    rng = np.random.default_rng(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name in ["F32", "F16", "BF16", *list(HALVES)[1:]]:
        kind = GGMLQuantizationType[name]
        values, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (max(512 // values, 8), size), np.uint8)
        if name in ("F32", "BF16"):  # no infinities and no NaN: their bits are the machine's choice
            blocks[:, -1] = blocks[:, -1] & 0x80 | 0x3F
        for at in HALVES.get(name, []):
            scales = (rng.standard_normal(len(blocks)) / 50).astype(np.float16)
            scales[: len(SPECIAL)] = SPECIAL
            if at:
                scales = scales[::-1].copy()
            blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
        floats = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
        assert np.isfinite(floats).all() and floats.size == len(blocks) * values
        (OUT / f"{name}.bin").write_bytes(blocks.tobytes() + floats.tobytes())


def sample():
    w = GGUFWriter(SAMPLE, "llama")
    w.add_name("a sample")
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_uint64("t.u64", 2**63)
    w.add_int64("t.i64", -(2**62))
    w.add_float32("t.f32", 0.5)
    w.add_float64("t.f64", 1e-300)
    w.add_bool("t.bool", True)
    w.add_string("t.string", "caf\u00e9\n")
    w.add_array("t.strings", ["", "a", "\u0120b"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.25, -1.5])
    w.add_array("t.bools", [True, False])
    w.add_key_value("t.u64s", [5, 2**40], GGUFValueType.ARRAY, GGUFValueType.UINT64)
    w.add_tensor("a", np.arange(6, dtype=np.float32).reshape(2, 3))
    w.add_tensor("b", np.array([1.5, -2], np.float16))
    w.add_tensor("c", np.arange(40, dtype=np.uint8).reshape(2, 20), raw_dtype=GGMLQuantizationType.Q4_1)
    w.add_tensor("d", np.arange(3, dtype=np.int8))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
    sample()
