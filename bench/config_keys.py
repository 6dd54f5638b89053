"""Lists the keys of config.json that Hugging Face's classes of each family have, with their defaults.

    $(bench/venv.sh --families) bench/config_keys.py

writes lmkit/lm/format/testdata/config_keys.json: for each family an object of its keys.
"""

import json
import pathlib

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

OUT = pathlib.Path(__file__).resolve().parent.parent / "lmkit" / "lm" / "format" / "testdata" / "config_keys.json"
FAMILIES = ("gpt2 llama mistral qwen2 qwen3 gpt_neox gemma2 gemma3_text gemma3 olmo2 opt phi phi3 smollm3").split()

keys = {}
for family in FAMILIES:
    config = CONFIG_MAPPING[family]
    keys[family] = config().to_dict() | dict.fromkeys(config.attribute_map)
    keys[family].pop("transformers_version")
OUT.parent.mkdir(exist_ok=True)
OUT.write_text(json.dumps(keys, indent=1, sort_keys=True) + "\n")
