"""Writes a GGUF file again with its matrices in another number type: F32, F16, BF16, or a quantised one such as Q8_0.

Vectors stay float32. Metadata, tokenizer and chat template are taken over as they are. The numbers are those of the
first file, rounded once: a file in F32 is the same model to the bit.

    $(bench/venv.sh --gguf) bench/gguf_as.py FROM.gguf BF16 TO.gguf
"""

import sys

import gguf
import numpy as np


def main(source, kind, to):
    kind = gguf.GGMLQuantizationType[kind]
    reader = gguf.GGUFReader(source)
    fields = {name: f for name, f in reader.fields.items() if not name.startswith("GGUF.")}
    writer = gguf.GGUFWriter(to, fields.pop("general.architecture").contents())
    fields.pop("general.file_type", None)  # what the file was stored as
    for name, f in fields.items():
        of = f.types[1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, f.contents(), f.types[0], of)
    for t in reader.tensors:
        x = gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(d) for d in reversed(t.shape)])
        if x.ndim < 2:
            writer.add_tensor(t.name, x.astype(np.float32))
        else:
            writer.add_tensor(t.name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
