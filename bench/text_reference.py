"""Makes the frozen reference that the tests of lmkit/token compare with: small tokenizers of the kinds that the families of
models have, and which tokens the libraries that define them find in thousands of texts.

    $(bench/venv.sh --text) bench/text_reference.py

writes lmkit/token/testdata/families.json.gz (or the file given as the only argument):

    pieces: what texts are put together from, by make_texts (the test does the same)
    families: for each kind its tokenizer.json and digests: of the IDs and the decoded texts of BLOCK texts at a time
    scores: a SentencePiece vocabulary with scores, as a GGUF file has it, and digests alike

Every second text is read with special tokens' texts as text (encode_special_tokens). A digest is the first 6 bytes of a
SHA-256. --show FAMILY NUMBER prints what stands behind one text.
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "lmkit" / "token" / "testdata" / "families.json.gz"
TEXTS, BLOCK = 3000, 20

# What the tokenizers are trained on: made up for this file.
LESSON = """The keeper wrote down 214 steps, and the lamp's light wasn't out. It's late; they're sure he'll say we've seen it.
The capital of the country is a city by the sea. The opposite of hot is cold, and the opposite of up is down.
She said: "I don't know what you'd do!" (Neither did I.) What's 12345 times 678? 3.14159, 1,000,000 or 2024-11-28?
def add(a, b):\n    return a + b\n\n\nfor i in range(10):\n\tprint(i, add(i, i))\n    if x == 1:\n        x += 2
Le café est fermé; déjà vu, naïve façade. Größe und Straße, Äpfel, Übung. El niño comió piñas en la mañana.
Быстрая лисица и ленивая собака. Привет, мир! Γειά σου κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก
今日は良い天気です。我喜欢猫。你喜欢狗。안녕하세요 세계. 東京は日本の首都。 🙂🙂 😀👍 e\u0301a\u0300o\u0302
The lamp and the keeper and the sea and the steps and the light: the keeper's lamp, the sea's light.
"""

# What texts are put together from. The last ones are special and added tokens of the kinds below.
PIECES = [
    " ", " ", " ", " ", "  ", "   ", "    ", "        ", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\t", "\t\t", " \n", "\n ", "\u00a0",
    "\u3000", "\u2028", "\u0085", "\u200b", "\u200d", "\ufeff", "\x00", "\x1c", "\x7f", "\ufffd", "\U0010ffff", "\ue000",
    "the", "The", "THE", "lamp", "keeper", "steps", "and", "sea", "light", "a", "b", "i", "I", "x", "zebra", "quux", "Hello", "world",
    "'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'d", "'ſ", "'", "''", "’s", "don't", "it's", "IT'S", "they'RE",
    "0", "1", "7", "42", "123", "1234", "12345", "2024", "3.14", "1,000", "½", "²", "Ⅷ", "٣٤", "五", "१२",
    ".", ",", "!", "?", ";", ":", "...", "—", "-", "_", "__", "(", ")", "[", "]", "{", "}", "<", ">", "<|", "|>", "/", "\\", "=", "==", "+",
    "+=", "*", "&", "#", "@", "$", "%", "^", "~", "`", "\"", "«", "»", "。", "、", "！", "¿", "।", "def", "return", "for", "print", "();", "://",
    "é", "e\u0301", "e\u0301\u0302", "a\u0323\u0302", "a\u0302\u0323", "ñ", "ü", "ß", "ẞ", "İ", "ı", "Å", "\u212b", "ﬁ", "\u0958", "\u0344",
    "q\u0323\u0307", "q\u0307\u0323", "\u0301", "\u0301a", "\u1100\u1161\u11a8", "\uac00\u11a8", "한", "글", "\u0f71\u0f72", "\u1112\u1161",
    "я", "мир", "Привет", "Σ", "ς", "κόσμε", "שלום", "שָׁלוֹם", "مرحبا", "عَالَم", "नमस्ते", "दुनिया", "สวัสดี", "ไทย", "தமிழ்", "ქართული", "հայ",
    "東", "京", "猫", "我喜欢", "は", "カ", "タカナ", "ｶﾞ", "𠀀", "𝟘", "𐐀", "ǅ", "ʰ", "ª", "ⓐ", "😀", "🙂", "👍🏽", "👨\u200d👩\u200d👧", "🇸🇪", "☃", "\ufe0f",
    "▁", "▁▁", "Ġ", "Ċ", "<0x0A>", "<0xE2>", "aaaaaaaa", "the the", "keeper's lamp", "x" * 40,
    "<s>", "</s>", "<unk>", "<bos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<a>", "<word>", "<pad>", "<|x|>",
]

# The patterns of the families.
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+CONTRACTION|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*CONTRACTION|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = CASED.replace("CONTRACTION", "").replace("DIGITS", r"\p{N}")
GPT4O = CASED.replace("CONTRACTION", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("DIGITS", r"\p{N}{1,3}")


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--show":
        return show(sys.argv[2], int(sys.argv[3]))
    texts = make_texts()
    out = {"texts": TEXTS, "block": BLOCK, "pieces": PIECES, "families": {}}
    for name, document in families().items():
        read = reader(document)
        out["families"][name] = {"tokenizer": document, "digests": digests(read(i, t) for i, t in enumerate(texts))}
    vocabulary, read = scores()
    out["scores"] = vocabulary | {"digests": digests(read(t) for t in texts)}
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="wb", mtime=0, compresslevel=9) as f:
        f.write(json.dumps(out, ensure_ascii=False, separators=(",", ":")).encode())
    to = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    to.write_bytes(data.getvalue())
    print(len(data.getvalue()), "bytes", len(out["families"]), "families")


def show(name, number):
    """Prints one text and its tokens."""
    text = make_texts()[number]
    if name == "scores":
        ids, decoded = scores()[1](text)
    else:
        ids, decoded = reader(families()[name])(number, text)
    print(json.dumps({"text": text, "ids": ids, "decoded": decoded}))


def make_texts():
    """The texts: 0 to 11 pieces each, drawn by a linear congruential generator."""
    state, out = 1, []

    def draw(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % n

    for _ in range(TEXTS):
        out.append("".join(PIECES[draw(len(PIECES))] for _ in range(draw(12))))
    return out


def reader(document):
    """A function from a text's number and the text to its IDs and the text that they decode to."""
    plain, marked = Tokenizer.from_str(json.dumps(document)), Tokenizer.from_str(json.dumps(document))
    plain.encode_special_tokens = True

    def read(i, text):
        ids = (plain if i % 2 else marked).encode(text).ids
        return ids, marked.decode(ids, skip_special_tokens=False)

    return read


def digests(answers):
    out, block = [], hashlib.sha256()
    for i, (ids, decoded) in enumerate(answers):
        block.update(json.dumps([ids, decoded], ensure_ascii=False, separators=(",", ":")).encode())
        if i % BLOCK == BLOCK - 1:
            out.append(block.hexdigest()[:12])
            block = hashlib.sha256()
    return out


# The tokenizers.

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NO_REGEX = BYTE_LEVEL | {"use_regex": False}
SPACE_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
MARK_TO_SPACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(name, *steps):
    return {"type": "Sequence", name: list(steps)}


def added(vocab, contents, **flags):
    """Entries of added tokens, numbered after the vocabulary where it does not have them."""
    free = max(vocab.values()) + 1
    out = []
    for c in contents:
        id = vocab.get(c)
        if id is None:
            id, free = free, free + 1
        entry = {"id": id, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        out.append(entry | flags)
    return out


def template(*before, after=()):
    piece = lambda id, t: {"SpecialToken": {"id": t, "type_id": 0}}
    tokens = {t: {"id": t, "ids": [id], "tokens": [t]} for t, id in [*before, *after]}
    single = [piece(id, t) for t, id in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [piece(id, t) for t, id in after]
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": tokens}


def train(pre, size, normal=None):
    """A vocabulary and merges of LESSON."""
    t = Tokenizer(models.BPE())
    document = json.loads(t.to_str())
    t = Tokenizer.from_str(json.dumps(document | {"pre_tokenizer": pre, "normalizer": normal}))
    alphabet = pre_tokenizers.ByteLevel.alphabet() if "ByteLevel" in json.dumps(pre) else []
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=1, show_progress=False, initial_alphabet=alphabet)
    t.train_from_iterator([LESSON], trainer)
    model = json.loads(t.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def document(vocab, merges, entries, pre=None, normal=None, post=None, decoder=None, **model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": entries, "normalizer": normal, "pre_tokenizer": pre,
            "post_processor": post, "decoder": decoder,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges} | model}


def all_splits(vocab, merges):
    """Merges of all ways to make a token of two, by the number of what they make: how tiktoken's and SentencePiece's
    vocabularies are converted."""
    made = {a + b for a, b in merges}
    ways = [(vocab[t], vocab[t[:i]], vocab[t[i:]], t[:i], t[i:]) for t in made for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab]
    return [(a, b) for _, _, _, a, b in sorted(ways)]


def by_bytes(pre, contents, normal=None, post=BYTE_LEVEL, size=480, extra=(), **model):
    """A byte-level tokenizer. extra: tokens that no merge makes."""
    vocab, merges = train(pre, size, normal)
    for t in extra:
        vocab.setdefault(t, len(vocab))
    entries = added(vocab, contents)
    return document(vocab, merges, entries, pre, normal, post, BYTE_LEVEL, **model)


def by_characters(specials, users=(), normal=None, pre=None, decoder=None, post=None, bytes=True, mark_runs=False, **model):
    """A tokenizer of characters, numbered as SentencePiece does: specials, bytes, then what was merged."""
    marked = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, SPACE_TO_MARK)
    learned, merges = train({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}, 420, marked)
    names = [*specials, *users] + [f"<0x{b:02X}>" for b in range(256) if bytes]
    names += [t for t in sorted(learned, key=learned.get) if t not in names]
    if mark_runs:
        names += ["▁▁", "▁▁▁▁"]
        merges = merges + [("▁", "▁"), ("▁▁", "▁▁")]
    vocab = {t: i for i, t in enumerate(names)}
    merges = all_splits(vocab, merges)
    entries = added(vocab, specials) + [e | {"special": False} for e in added(vocab, users)]
    return document(vocab, merges, entries, pre, normal, post, decoder, byte_fallback=bytes, fuse_unk=True, unk_token="<unk>", **model)


def families():
    im = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    out = {"gpt2": by_bytes(BYTE_LEVEL, im[:1])}
    out["gpt2"]["added_tokens"][0]["normalized"] = True
    out["smollm2"] = by_bytes(sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, BYTE_LEVEL), im, post=None)
    qwen = sequence("pretokenizers", split(QWEN2), NO_REGEX)
    out["qwen2"] = by_bytes(qwen, im, normal={"type": "NFC"})
    llama = by_bytes(sequence("pretokenizers", split(LLAMA3), NO_REGEX), ["<s>", "</s>"], extra=["Ġzebra", "quux", "1234", "Ġkee", "ã", "e"],
                     ignore_merges=True)
    llama["model"]["merges"] = all_splits(llama["model"]["vocab"], llama["model"]["merges"])
    llama["post_processor"] = sequence("processors", BYTE_LEVEL, template(("<s>", llama["added_tokens"][0]["id"])))
    out["llama3"] = llama
    out["olmo2"] = by_bytes(sequence("pretokenizers", split(CL100K, "Removed", True), NO_REGEX), im)
    out["tekken"] = by_bytes(sequence("pretokenizers", split(TEKKEN), NO_REGEX), ["<s>", "</s>"], ignore_merges=True)
    out["gpt4o"] = by_bytes(sequence("pretokenizers", split(GPT4O), NO_REGEX), im)
    cjk = sequence("pretokenizers", split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"), split(TEKKEN), NO_REGEX)
    out["several"] = by_bytes(cjk, im, size=420)
    out["behaviors"] = by_bytes(sequence("pretokenizers", split(r"\p{P}", "MergedWithPrevious"), split(r"\s", "MergedWithNext"),
                                         {"type": "Digits", "individual_digits": False}, split(r"[a-m]+", "Contiguous"), NO_REGEX), im, size=420)
    neox = by_bytes(BYTE_LEVEL, im[:1], normal={"type": "NFC"})
    end = neox["added_tokens"][0]["id"]
    neox["added_tokens"] += [e | {"normalized": True, "special": False} for e in added({"": end}, [" " * n for n in (4, 3, 2)])]
    neox["post_processor"] = template(after=[("<|endoftext|>", end)])
    out["pythia"] = neox
    edges = by_bytes(BYTE_LEVEL, ["<a>", "<word>", "<|x|>", "the"])
    for entry, flags in zip(edges["added_tokens"], [{"lstrip": True}, {"single_word": True}, {"lstrip": True, "rstrip": True, "special": False},
                                                    {"single_word": True, "normalized": True, "special": False}]):
        entry.update(flags)
    out["edges"] = edges

    prepend = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, SPACE_TO_MARK)
    fallback = [MARK_TO_SPACE, {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    three = ["<unk>", "<s>", "</s>"]
    out["llama2"] = by_characters(three, normal=prepend, decoder=sequence("decoders", *fallback, strip), post=template(("<s>", 1)))
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    out["mistral"] = by_characters(three, pre=meta, decoder=sequence("decoders", *fallback, strip), post=template(("<s>", 1), after=[("</s>", 2)]))
    whole = split("", "MergedWithPrevious")
    whole["pattern"] = {"String": " "}
    out["gemma"] = by_characters(["<pad>", "<eos>", "<bos>", "<unk>"], ["\n\n", "\n\n\n", "\t\t", "<a>"], normal=SPACE_TO_MARK, pre=whole,
                                 decoder=sequence("decoders", *fallback), post=template(("<bos>", 2)), mark_runs=True)
    phi3 = by_characters(three + ["<|end|>"], normal=prepend, decoder=sequence("decoders", *fallback, strip), mark_runs=True)
    phi3["added_tokens"][2]["rstrip"] = phi3["added_tokens"][3]["rstrip"] = True
    out["phi3"] = phi3
    cut = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    out["metaspace"] = by_characters(three, pre=cut, decoder=cut, bytes=False)
    return out


def scores():
    """A SentencePiece model as GGUF's converter writes it down: texts, scores, kinds (1 normal, 2 unknown, 3 control, 6 byte)."""
    model = io.BytesIO()
    lines = [line for line in LESSON.split("\n") if line]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=700, model_type="bpe",
                                             byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
                                             remove_extra_whitespaces=False, split_digits=True, minloglevel=2)
    p = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    n = p.get_piece_size()
    kind = lambda i: 2 if p.is_unknown(i) else 3 if p.is_control(i) else 6 if p.is_byte(i) else 1
    vocabulary = {"tokens": [p.id_to_piece(i) for i in range(n)], "scores": [p.get_score(i) for i in range(n)], "types": [kind(i) for i in range(n)],
                  "bos": p.bos_id(), "eos": p.eos_id(), "unknown": p.unk_id()}

    def read(text):
        text = text.replace("\x00", "")  # SentencePiece gives a meaning to it
        ids = p.encode(text)
        return [p.bos_id()] + ids, p.decode(ids)

    return vocabulary, read


if __name__ == "__main__":
    main()
