"""Writes lmkit/grade/testdata/sacrebleu.json: what sacreBLEU makes of texts that are drawn at random.

    $(bench/venv.sh --text) bench/grade_reference.py
"""

import json
import pathlib
import random

import sacrebleu

WORDS = """the a cat dog, sat on mat. 3.5 1,000 2-3 well-known "quoted" it's (so) &amp; &lt;b&gt; x/y $5 50% ein Mädchen
läuft über die Straße ; : ! ? ... naïve 東京 は 12. , foo_bar a=b {c} [d] e^f ~ `""".split()


def draw(rng, longest):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def near(rng, text):
    """A text with some words changed, left out or doubled."""
    words = text.split()
    out = []
    for w in words:
        r = rng.random()
        if r < 0.1:
            out.append(rng.choice(WORDS))
        elif r < 0.2:
            continue
        elif r < 0.25:
            out += [w, w]
        else:
            out.append(w)
    return " ".join(out)


def main():
    assert sacrebleu.__version__ == "2.6.0", sacrebleu.__version__
    rng = random.Random(1)
    cases = []
    for i in range(60):
        right = [draw(rng, [3, 8, 25][i % 3]) or "the" for _ in range(rng.randint(1, 6))]
        said = [near(rng, r) if rng.random() < 0.8 else draw(rng, 8) for r in right]
        cases.append({
            "said": said,
            "right": right,
            "bleu": sacrebleu.corpus_bleu(said, [right]).score,
            "chrf": sacrebleu.corpus_chrf(said, [right]).score,
        })
    path = pathlib.Path(__file__).parent.parent / "lmkit" / "grade" / "testdata" / "sacrebleu.json"
    path.write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
