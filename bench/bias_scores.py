"""Scores the sentences of a report of `lmkit bias --json` in PyTorch, and compares them pair by pair.

    lmkit bias MODEL --suite blimp --data FOLDER --json > report.json
    $(bench/venv.sh --families) bench/bias_scores.py report.json --gguf FILE       a model as transformers opens it
    $(bench/venv.sh --families) bench/bias_scores.py report.json --lstm FOLDER     a word LSTM that lmkit trained

A score is the sum of log p(token | all before it), the first token after the one that ends a text. With --freeze FILE some
of the scores are written for lmkit's own test. It exits with 1 if a score differs by more than --tolerance or a choice does.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("report", type=pathlib.Path)
    p.add_argument("--gguf", type=pathlib.Path)
    p.add_argument("--lstm", type=pathlib.Path)
    p.add_argument("--tolerance", type=float, default=2e-3, help="in nats a sentence")
    p.add_argument("--freeze", type=pathlib.Path)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    scorer = LSTM(args.lstm) if args.lstm else GGUF(args.gguf)
    report = json.loads(args.report.read_text())
    if report["protocol"]["name"] != "total":
        sys.exit("the report's protocol is not total")
    pairs = report["pairs"]
    sentences = [pair[k] for pair in pairs for k in ("first", "second")]
    with torch.no_grad():
        scores = scorer.score(sentences)
    worst, other, frozen = 0.0, 0, []
    for i, pair in enumerate(pairs):
        a, b = scores[2 * i : 2 * i + 2]
        worst = max(worst, abs(a - pair["first_score"]), abs(b - pair["second_score"]))
        # A choice within what both may be off by is none.
        if abs(a - b) > 2 * args.tolerance and (a > b) != (pair["difference"] > 0):
            other += 1
        frozen.append({"id": pair["id"], "first": round(a, 5), "second": round(b, 5)})
    print(f"{len(pairs)} pairs: scores differ by {worst:.2g} nats at most, {other} choices differ; "
          f"accuracy {100 * sum(f['first'] > f['second'] for f in frozen) / len(frozen):.2f} %")
    if args.freeze:
        args.freeze.write_text(json.dumps(frozen[:: max(1, len(frozen) // 40)]) + "\n")
    sys.exit(1 if worst > args.tolerance or other else 0)


class GGUF:
    def __init__(self, path):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder, name = str(path.parent), path.name
        self.tok = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        self.model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
        self.begin = self.tok.convert_tokens_to_ids("<|endoftext|>")

    def score(self, sentences):
        rows = [[self.begin] + self.tok(s, add_special_tokens=False)["input_ids"] for s in sentences]
        out = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for at in range(0, len(order), 16):
            part = order[at : at + 16]
            longest = max(len(rows[i]) for i in part)
            ids = torch.tensor([rows[i] + [self.begin] * (longest - len(rows[i])) for i in part])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (longest - len(rows[i])) for i in part])
            logp = self.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
            for k, i in enumerate(part):
                n = len(rows[i])
                out[i] = logp[k, : n - 1].gather(1, ids[k, 1:n, None]).double().sum().item()
        return out


class LSTM:
    def __init__(self, folder):
        c = json.loads((folder / "config.json").read_text())
        w = load_file(folder / "model.safetensors")
        self.tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.embed = torch.nn.Embedding.from_pretrained(w["embed.weight"])
        self.lstm = torch.nn.LSTM(c["embed_size"], c["hidden_size"], c["num_layers"], batch_first=True)
        self.lstm.load_state_dict({k.removeprefix("lstm."): v for k, v in w.items() if k.startswith("lstm.")})
        self.linear = torch.nn.Linear(c["hidden_size"], c["vocab_size"])
        self.linear.load_state_dict({"weight": w.get("linear.weight", w["embed.weight"]), "bias": w["linear.bias"]})

    def score(self, sentences):
        begin = self.tok.token_to_id("<eos>")
        out = []
        for s in sentences:
            # Without a token to begin after, the first token has no score.
            ids = torch.tensor(([] if begin is None else [begin]) + self.tok.encode(s).ids)
            logp = self.linear(self.lstm(self.embed(ids[None]))[0])[0].log_softmax(-1)
            out.append(logp[:-1].gather(1, ids[1:, None]).double().sum().item())
        return out


if __name__ == "__main__":
    main()
