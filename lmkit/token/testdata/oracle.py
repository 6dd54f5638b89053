"""Writes oracle.json: what independent implementations say about the tokenizer files beside it.

First: go test ./lmkit/token -update        (writes char.json, word.json, bpe.json)
Then:  python3 oracle.py DATA               (pip install tokenizers==0.23.3 tiktoken==0.14.0 regex)
DATA holds gpt2-bpe/, tinyshakespeare/ and wikitext-2/.
"""
import hashlib, json, pathlib, re, struct, sys
import tiktoken
from tokenizers import Tokenizer, AddedToken, decoders, models, pre_tokenizers, trainers

here, data = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
texts = [
    "", " ", "\n", "Hello world", "the", " the", "Hello, world! It's the keeper's lamp; isn't it?",
    "I'm you're we've he'd she'll don't it's 'tis 'S 'RE ''s '''ll", "a  b   c    d\n\n e \n f\t\tg \r\n h  ",
    "x\u0085y\u00a0z\u2003w\u3000v\u1680u\u2028t", "a\x1cb\x1dc\x1ed\x1fe\x0bf\x0cg", "3.14 1,000 2nd ½ ² Ⅷ ٣٤ 12345678",
    "naïve café Ünïcödé cafe\u0301 ŉ ǅ ß İstanbul IİI ẞ K Å", "Привет, мир! ΑΣ. こんにちは世界 안녕 שלום مرحبا नमस्ते",
    "😀 😃😄 👨‍👩‍👧‍👦 👍🏽 🇸🇪 ☃︎ 🏴‍☠️!", "<unk> the <unk>, foo<unk>bar <UNK>", "\"quoted\" 'single' fo\"o b\"\"ar\" \"", "a<br />b<BR />c <br/> <b\"r /> d<br / >e",
    "x;y:z a;;b :: ; \"", "e.g. U.S.A. ... wait?! (no) [yes]", "end <|endoftext|> and<|endoftext|><|endoftext|>go <|endoftext|", "\\x41 \\xE2 \\ \\x", "\ufeffbom \u200bzero\u200d\u00ad",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "!!!???...,,,---===***", "\U00010400\U0001d7d8\ue000\U000e0001", "The rain and the lamp: 214 steps, the keeper wrote down.",
]


def basic_english(line):
    line = line.lower()
    for pattern, to in [(r"\'", " '  "), (r"\"", ""), (r"\.", " . "), (r"<br \/>", " "), (r",", " , "), (r"\(", " ( "), (r"\)", " ) "),
                        (r"\!", " ! "), (r"\?", " ? "), (r"\;", " "), (r"\:", " "), (r"\s+", " ")]:
        line = re.sub(pattern, to, line)
    return line.split()


def digest(ids):
    return hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()


out = {"texts": texts, "words": [basic_english(t) for t in texts]}
for name in ["char", "word", "bpe"]:
    t = Tokenizer.from_file(str(here / f"{name}.json"))
    encoded = [t.encode(x).ids for x in texts]
    out[name] = {"ids": encoded, "decoded": [t.decode(e, skip_special_tokens=False) for e in encoded]}

t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.train([str(here / "text.txt")], trainers.BpeTrainer(vocab_size=500, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
out["trained"] = [" ".join(m) for m in json.loads(t.to_str())["model"]["merges"]]

gpt2 = Tokenizer(models.BPE.from_file(str(data / "gpt2-bpe/encoder.json"), str(data / "gpt2-bpe/vocab.bpe")))
gpt2.pre_tokenizer, gpt2.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
gpt2.add_special_tokens([AddedToken("<|endoftext|>", normalized=True)])
vocab = json.loads((data / "gpt2-bpe/encoder.json").read_text())
byte_of = {c: b for b, c in zip(sorted(set(range(256)) - set(range(33, 127)) - set(range(161, 173)) - set(range(174, 256))), map(chr, range(256, 512)))}
to_bytes = lambda s: bytes(byte_of.get(c, ord(c) & 255) for c in s)
tik = tiktoken.Encoding("gpt2", pat_str=r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
                        mergeable_ranks={to_bytes(k): v for k, v in vocab.items() if v != 50256}, special_tokens={"<|endoftext|>": 50256})
ids = [gpt2.encode(x).ids for x in texts]
for x, e in zip(texts, ids):
    assert tik.encode(x, allowed_special="all") == e, x
out["gpt2"] = ids
out["streams"] = {}
for name in ["tinyshakespeare/input.txt", "wikitext-2/valid.txt", "wikitext-2/test.txt"]:
    text = (data / name).read_bytes().decode()
    e = tik.encode(text)
    words = basic_english(text)
    out["streams"][name] = {"gpt2": len(e), "gpt2_sha256": digest(e), "words": len(words), "words_sha256": hashlib.sha256("\n".join(words).encode()).hexdigest()}
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.train([str(data / "tinyshakespeare/input.txt")], trainers.BpeTrainer(vocab_size=1256, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
out["trained_shakespeare_sha256"] = hashlib.sha256("\n".join(" ".join(m) for m in json.loads(t.to_str())["model"]["merges"]).encode()).hexdigest()
(here / "oracle.json").write_text(json.dumps(out, ensure_ascii=True, indent=None, separators=(",", ":")).replace('],"', '],\n"') + "\n")
