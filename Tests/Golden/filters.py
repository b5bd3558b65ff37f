"""Writes filters.json: which ids `top_k_top_p_filtering` of transformers 4 leaves, for logits where that is hard to get right.

Needs numpy. The function's rules: all below the k-th largest value go, so equals of the k-th stay; then, in descending order, all after the
one with which the cumulative probability first exceeds p. Logits are first divided by the temperature, as the reference does."""
import json
import math
import numpy as np


def keep(logits, temperature, k, p):
    x = np.array(logits, dtype=np.float32) / np.float32(temperature)
    if k > 0:
        x = np.where(x < np.sort(x)[-min(k, len(x))], -np.inf, x)
    order = np.argsort(-x, kind="stable")
    weights = np.exp(x[order].astype(np.float64) - x.max())
    cumulative = np.cumsum(weights / weights.sum())
    over = np.nonzero(cumulative > p)[0] if p < 1 else []
    last = over[0] if len(over) else len(x) - 1
    return [int(i) for i in order[: last + 1] if x[i] > -np.inf]


generator = np.random.default_rng(7)
random = [round(float(v), 3) for v in generator.normal(0, 3, 48)]
negative = [-1000.0, -1001.0, -1002.5, -999.5]
inf = -math.inf
cases = []


def case(name, logits, temperature=1.0, k=0, p=1.0):
    cases.append({
        "name": name, "logits": [None if v == inf else v for v in logits], "temperature": temperature, "top_k": k, "top_p": p,
        "kept": keep(logits, temperature, k, p)})


for k in (0, 2, 3, 16, 47, 48, 49, 100000):
    for p in (1.0, 0.99, 0.8, 0.5, 1e-6, 0.0):
        for temperature in (1.0, 0.9, 10.0):
            case("random", random, temperature, k, p)
ties = [1.0, 3.0, 3.0, 2.0, 3.0, 2.0]
for k in (2, 3, 4, 5, 6):
    case("ties at the k-th", ties, k=k)
for p in (0.1, 0.3, 0.5, 0.7, 0.95):
    case("ties and p", ties, p=p)
    case("ties, k and p", ties, k=2, p=p)
case("all equal", [0.5] * 8, k=3)
case("all equal, p", [0.5] * 8, p=0.3)
for k in (0, 2, 3, 5):
    case("minus infinity", [inf, 1.0, inf, 2.0, inf], k=k)
    case("minus infinity and p", [inf, 1.0, inf, 2.0, inf], k=k, p=0.7)
case("one", [-3.0], k=64, p=0.8)
case("far below zero", negative, k=3, p=0.9)
case("far apart", [100.0, -100.0, 0.0, 99.0], p=0.9)
case("far apart, hot", [100.0, -100.0, 0.0, 99.0], temperature=100.0, p=0.9)
with open("filters.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
