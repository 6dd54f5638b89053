"""Writes lime.json beside itself: what the Python package lime 0.2.0.1 makes of fixed masks and values.

  python reference.py         (in an environment with lime and numpy)
"""
import json
import os

import numpy as np
import sklearn.metrics
from lime.lime_base import LimeBase

base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 25**2)))
rng = np.random.default_rng(7)
cases = []
for features, keep, samples in [(4, 4, 40), (5, 3, 60), (9, 6, 120), (12, 8, 200), (12, 10, 150), (20, 20, 300), (20, 5, 300)]:
    masks = np.ones((samples, features), dtype=int)
    for row in masks[1:]:
        row[rng.choice(features, rng.integers(1, features + 1), replace=False)] = 0
    weights = rng.normal(size=features) * 2
    values = np.tanh(masks @ weights * 0.4) + 0.5 * masks[:, 0] * masks[:, 1] + 3
    values = np.round(values, 6)
    distances = sklearn.metrics.pairwise_distances(masks, masks[:1], metric="cosine").ravel() * 100
    intercept, coefficients, r2, prediction = base.explain_instance_with_data(
        masks.astype(float), np.stack([values], 1), distances, 0, keep, feature_selection="auto")
    scores = np.zeros(features)
    for f, c in coefficients:
        scores[f] = c
    cases.append({
        "features": keep,
        "masks": ["".join(map(str, row)) for row in masks],
        "values": values.tolist(),
        "scores": scores.tolist(),
        "intercept": float(intercept),
        "r2": float(r2),
        "prediction": float(np.ravel(prediction)[0]),
    })
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lime.json"), "w") as out:
    json.dump(cases, out)
    out.write("\n")
