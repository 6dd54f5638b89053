"""Trains the two small models of 08_your_own_model.ipynb in PyTorch, and exports them as folders that lmkit opens.

    pip install torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0
    python notebooks/models/export.py

It writes lstm/ and gpt2/ beside itself, and expected.json: what PyTorch says of a few texts, to compare with. One thread
and fixed seeds are used. The sentences are such that the first noun decides between "is" and "are".
"""
import json
import pathlib
import random

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

HERE = pathlib.Path(__file__).resolve().parent
SINGULAR = "key box book lamp knife man woman child mouse farmer letter bottle".split()
PLURAL = "keys boxes books lamps knives men women children mice farmers letters bottles".split()
PLACES = "near behind beside above below with".split()
STATES = "old new here lost".split()
TEXTS = ["the keys near the man", "the man near the keys", "the box behind the lamps above the books", "the mice"]


def sentence(rng):
    plural = rng.random() < 0.5
    words = ["the", rng.choice(PLURAL if plural else SINGULAR)]
    for _ in range(rng.randrange(3)):
        words += [rng.choice(PLACES), "the", rng.choice(SINGULAR + PLURAL)]
    return words + ["are" if plural else "is", rng.choice(STATES), "."]


def batches(read, said, size=64):
    """Rows of what the model reads, and of what comes next: where there is nothing, -100 is not to be predicted."""
    for i in range(0, len(said), size):
        longest = max(map(len, said[i:i + size]))
        x = [r[:-1] + [0] * (longest - len(r)) for r in read[i:i + size]]
        y = [r[1:] + [-100] * (longest - len(r)) for r in said[i:i + size]]
        yield torch.tensor(x), torch.tensor(y)


def train(model, read, said, epochs, lr):
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        total = 0.0
        for n, (x, y) in enumerate(batches(read, said), 1):
            loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=-100)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / n:.3f}")
    return model.eval()


class WordModel(nn.Module):
    """PyTorch's usual word language model. The names of the three layers are what lmkit looks for."""

    def __init__(self, vocab, embed, hidden, layers):
        super().__init__()
        self.embed = nn.Embedding(vocab, embed)
        self.lstm = nn.LSTM(embed, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, vocab)

    def forward(self, ids):
        return self.linear(self.lstm(self.embed(ids))[0])


def word_tokenizer(lines):
    """torchtext's basic_english, in the form that lmkit reads: see the notebook."""
    words = ["<unk>"] + sorted({w for line in lines for w in line})
    tok = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    swap = normalizers.Replace
    tok.normalizer = normalizers.Sequence([
        normalizers.Lowercase(), swap("'", " '  "), swap('"', ""), swap(".", " . "), swap("<br />", " "),
        swap(",", " , "), swap("(", " ( "), swap(")", " ) "), swap("!", " ! "), swap("?", " ? "), swap(";", " "),
        swap(":", " "), swap(Regex(r"[\x1c-\x1f]"), " ")])
    tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tok


def export_lstm(lines, out):
    tok = word_tokenizer(lines)
    rng = random.Random(2)
    said = [[tok.token_to_id(w) for w in line] for line in lines]
    read = [[0 if rng.random() < 0.1 else i for i in line] for line in said]  # 0 is <unk>: so it comes to mean something
    model = train(WordModel(tok.get_vocab_size(), 32, 32, 1), read, said, epochs=12, lr=5e-3)
    out.mkdir(exist_ok=True)
    save_file(model.state_dict(), out / "model.safetensors")
    config = {"model_type": "lstm", "vocab_size": tok.get_vocab_size(), "embed_size": 32, "hidden_size": 32,
              "num_layers": 1, "dropout": 0.0}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tok.save(str(out / "tokenizer.json"))
    return tok, model


def export_gpt2(lines, out):
    texts = [" ".join(line[:-1]) + "." for line in lines]
    tok = tokenizers.ByteLevelBPETokenizer()
    tok.train_from_iterator(texts, vocab_size=340, min_frequency=2, show_progress=False)
    ids = [tok.encode(text).ids for text in texts]
    config = GPT2Config(vocab_size=tok.get_vocab_size(), n_positions=32, n_embd=32, n_layer=2, n_head=2,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None)
    hf = GPT2LMHeadModel(config)

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.hf = hf

        def forward(self, x):
            return self.hf(x).logits

    model = train(Logits(), ids, ids, epochs=8, lr=3e-3)
    hf.save_pretrained(out)
    tok.save(str(out / "tokenizer.json"))
    return tok, model


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    rng = random.Random(1)
    lines = [sentence(rng) for _ in range(4000)]
    expected = {}
    for name, export in (("lstm", export_lstm), ("gpt2", export_gpt2)):
        tok, model = export(lines, HERE / name)
        expected[name] = []
        for text in TEXTS:
            ids = tok.encode(text).ids
            with torch.no_grad():
                logits = model(torch.tensor([ids]))[0, -1]
            expected[name].append({"text": text, "ids": ids, "logits": [round(x, 7) for x in logits.tolist()]})
            print(name, repr(text), "->", repr(tok.decode([int(logits.argmax())])))
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
