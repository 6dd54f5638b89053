"""Trains the well-known LSTM word model on WikiText-2 in PyTorch: the peer that lmkit's own run is compared with.

    $(bench/venv.sh) bench/wikitext_lstm.py --data DIR --epochs 5 --json lstm-torch.json

DIR holds valid.txt, which is trained on, and test.txt, which is evaluated: the two small splits. The perplexities are
for comparison with lmkit on the same files and with nothing that is published for the train split.
"""

import argparse
import collections
import json
import math
import pathlib
import re
import time

import torch
from torch import nn

BATCH, EVAL_BATCH, BPTT = 20, 10, 35
EMBED, HIDDEN, LAYERS, DROPOUT = 200, 200, 2, 0.5
CLIP, GAMMA = 0.25, 0.95

# torchtext's basic_english: applied in this order to the lower-cased line, which is then split at white space.
BASIC_ENGLISH = [(re.compile(pattern), to) for pattern, to in (
    (r"'", " '  "), (r'"', ""), (r"\.", " . "), (r"<br />", " "), (r",", " , "), (r"\(", " ( "), (r"\)", " ) "),
    (r"!", " ! "), (r"\?", " ? "), (r";", " "), (r":", " "), (r"\s+", " "),
)]


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train_text, test_text = tokens(args.data / "valid.txt"), tokens(args.data / "test.txt")
    vocab = vocabulary(train_text)
    train, test = batches(train_text, vocab, BATCH), batches(test_text, vocab, EVAL_BATCH)
    model = WordLM(len(vocab))
    report = {
        "torch": torch.__version__, "threads": args.threads, "seed": args.seed, "lr": args.lr, "vocab": len(vocab),
        "train_tokens": len(train_text), "test_tokens": len(test_text),
        "parameters": sum(p.numel() for p in model.parameters()), "epochs": [],
    }
    print("torch {torch}, seed {seed}: vocabulary {vocab:,}, {train_tokens:,} tokens to train on, {test_tokens:,} to "
          "evaluate, {parameters:,} parameters".format(**report), flush=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=GAMMA)
    for epoch in range(1, args.epochs + 1):
        began = time.perf_counter()
        train_loss, trained = run(model, train, optimiser)
        seconds = time.perf_counter() - began
        loss, _ = run(model, test)
        schedule.step()
        line = {"epoch": epoch, "train_loss": train_loss, "validation_loss": loss, "perplexity": math.exp(loss),
                "tokens_per_second": trained / seconds, "seconds": time.perf_counter() - began}
        report["epochs"].append(line)
        print("epoch {epoch:3d}  train loss {train_loss:.4f}  validation loss {validation_loss:.4f}  perplexity "
              "{perplexity:.2f}  {tokens_per_second:,.0f} tokens/s  {seconds:.1f} s".format(**line), flush=True)
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + "\n")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=pathlib.Path, required=True, help="folder with valid.txt and test.txt")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--lr", type=float, default=1e-3, help="Adam's first learning rate (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where to write the figures, after every epoch")
    return p.parse_args()


def tokens(path):
    """The words of a file, line after line; lines add nothing between them."""
    found = []
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            line = line.lower()
            for pattern, to in BASIC_ENGLISH:
                line = pattern.sub(to, line)
            found += line.split()
    return found


def vocabulary(text):
    """Word to ID: <unk>, then by falling frequency, ties by text."""
    count = collections.Counter(text)
    del count["<unk>"]
    words = sorted(count, key=lambda w: (-count[w], w))
    return {w: i for i, w in enumerate(["<unk>"] + words)}


def batches(text, vocab, rows):
    """IDs [steps, rows]: each column is a contiguous stretch of the text; the remainder is cut."""
    ids = torch.tensor([vocab.get(w, 0) for w in text])
    steps = len(ids) // rows
    return ids[: steps * rows].view(rows, steps).t().contiguous()


class WordLM(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, EMBED)
        self.lstm = nn.LSTM(EMBED, HIDDEN, LAYERS, dropout=DROPOUT)
        self.linear = nn.Linear(HIDDEN, vocab)
        self.drop = nn.Dropout(DROPOUT)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.uniform_(self.linear.weight, -0.1, 0.1)
        nn.init.zeros_(self.linear.bias)

    def forward(self, ids, state):
        x, state = self.lstm(self.drop(self.embed(ids)), state)
        return self.linear(self.drop(x)), state


def run(model, data, optimiser=None):
    """One pass over data, trained where there is an optimiser: the mean loss of a token, and how many tokens.

    The state starts at zero and is carried from chunk to chunk; gradients stop at a chunk's start.
    """
    training = optimiser is not None
    model.train(training)
    total, count = 0.0, 0
    state = tuple(torch.zeros(2, LAYERS, data.shape[1], HIDDEN))
    with torch.set_grad_enabled(training):
        for at in range(0, len(data) - 1, BPTT):
            ids, targets = data[at : at + BPTT], data[at + 1 : at + 1 + BPTT]
            logits, state = model(ids[: len(targets)], state)
            state = tuple(s.detach() for s in state)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            if training:
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimiser.step()
            total, count = total + loss.item() * targets.numel(), count + targets.numel()
    return total / count, count


if __name__ == "__main__":
    main()
