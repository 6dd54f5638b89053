"""Classifies texts by their words alone: what `lmkit train --answer` is to be compared with.

    $(bench/venv.sh --peers) bench/bag_of_words.py TRAIN VALID [--answer "=>"]

Both files have a text and its answer a line, with the mark between. Words and pairs of words are counted, weighted by tf-idf,
and given to a logistic regression (scikit-learn, its default strength of 1).
"""

import argparse
import pathlib

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("train", type=pathlib.Path)
    p.add_argument("valid", type=pathlib.Path)
    p.add_argument("--answer", default="=>")
    args = p.parse_args()
    train, valid = (read(f, args.answer) for f in (args.train, args.valid))
    for name, ngrams in (("words", (1, 1)), ("words and pairs of words", (1, 2))):
        model = make_pipeline(TfidfVectorizer(ngram_range=ngrams), LogisticRegression(max_iter=1000))
        model.fit(*train)
        print(f"{name}: accuracy {100 * model.score(*valid):.1f} % on {len(valid[0])} texts, from {len(train[0])}")


def read(path, mark):
    pairs = [line.rsplit(mark, 1) for line in path.read_text(encoding="utf-8").splitlines() if mark in line]
    return [text.strip() for text, _ in pairs], [answer.strip() for _, answer in pairs]


if __name__ == "__main__":
    main()
