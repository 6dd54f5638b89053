"""Freezes what SciPy makes of the statistics of lmkit/internal/numerics/signs.go, for its test.

    $(bench/venv.sh --peers) bench/bias_reference.py

writes lmkit/internal/numerics/testdata/scipy.json: the exact sign test, Wilson's interval, Spearman's correlation, and the
percentile bootstrap of a ratio of sums over clusters (200,000 draws, so that what is left is lmkit's own noise).
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

THROWS = [(0, 1), (0, 7), (5, 5), (30, 60), (36, 60), (38, 60), (39, 60), (71, 159), (148, 262), (149, 262),
          (793, 1508), (900, 1508), (2000, 4000), (2100, 4000), (33600, 67000)]


def main():
    rng = np.random.default_rng(1)
    out = {"scipy": scipy.__version__, "throws": [], "spearman": [], "clusters": []}
    for k, n in THROWS:
        test = stats.binomtest(k, n)
        wilson = test.proportion_ci(method="wilson")
        out["throws"].append({"k": k, "n": n, "p": float(test.pvalue), "low": float(wilson.low),
                              "high": float(wilson.high)})
    for n in (3, 8, 40):
        a, b = rng.integers(0, 6, n).tolist(), rng.normal(size=n).round(1).tolist()
        out["spearman"].append({"a": a, "b": b, "r": float(stats.spearmanr(a, b).statistic)})
    for n in (12, 60, 300):
        size = rng.integers(1, 9, n)
        total = rng.binomial(size, rng.uniform(0.2, 0.9, n))
        ratio = lambda s, c, axis=-1: s.sum(axis) / c.sum(axis)
        ci = stats.bootstrap((total.astype(float), size.astype(float)), ratio, paired=True, n_resamples=200_000,
                             batch=5000, method="percentile", rng=rng).confidence_interval
        out["clusters"].append({"sum": total.tolist(), "n": size.tolist(), "low": float(ci.low), "high": float(ci.high)})
    path = pathlib.Path(__file__).parent.parent / "lmkit" / "internal" / "numerics" / "testdata" / "scipy.json"
    path.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
