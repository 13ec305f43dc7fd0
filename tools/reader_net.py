"""A small network in numpy: direct weights for three scores, hidden units that also learn the concepts."""

import numpy as np
from scipy.sparse import csr_matrix

EPOCHS, BATCH, RATE, KEEP, SHRINK = 35, 512, 0.02, 0.3, 1e-5
Parts = dict[str, np.ndarray]


def train(
    table: csr_matrix, wanted: np.ndarray, counted: np.ndarray, weight: np.ndarray, units: int, seed: int
) -> Parts:
    """Learn ``wanted`` (rows x targets, 0 or 1) where ``counted`` is above 0, each row by its ``weight``.

    The first three targets also have direct weights. Features are left out at random: none is relied on."""
    rng = np.random.default_rng(seed)
    rows, features = table.shape
    targets = wanted.shape[1]
    parts: Parts = {
        "into": (rng.standard_normal((features, units)) * 0.5).astype(np.float32),
        "begin": np.zeros(units, np.float32),
        "out": (rng.standard_normal((units, targets)) / np.sqrt(units) * 0.5).astype(np.float32),
        "start": np.full(targets, -1, np.float32),
        "direct": np.zeros((features, 3), np.float32),
    }
    mean = {name: np.zeros_like(part) for name, part in parts.items()}
    square = {name: np.zeros_like(part) for name, part in parts.items()}
    step = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(rows)
        rate = RATE * (1 - epoch / EPOCHS) + 1e-5
        for place in range(0, rows, BATCH):
            some = order[place : place + BATCH]
            step += 1
            slope = _slopes(table[some], wanted[some], counted[some] * weight[some, None], parts, rng)
            _adam(parts, slope, mean, square, rate, step)
    return parts


def _slopes(some: csr_matrix, wanted: np.ndarray, counted: np.ndarray, parts: Parts, rng) -> Parts:
    some = some.copy()
    some.data = (some.data * (rng.random(len(some.data)) < KEEP) / KEEP).astype(np.float32)
    before = some @ parts["into"] + parts["begin"]
    active = np.maximum(before, 0)
    score = active @ parts["out"] + parts["start"]
    score[:, :3] += some @ parts["direct"]
    error = (1 / (1 + np.exp(-score)) - wanted) * counted / len(wanted)
    back = (error @ parts["out"].T) * (before > 0)
    turned = some.T
    return {
        "out": active.T @ error,
        "start": error.sum(0),
        "into": turned @ back + SHRINK * parts["into"],
        "begin": back.sum(0),
        "direct": turned @ error[:, :3] + SHRINK * parts["direct"],
    }


def _adam(parts: Parts, slope: Parts, mean: Parts, square: Parts, rate: float, step: int) -> None:
    for name, part in parts.items():
        mean[name] += 0.1 * (slope[name] - mean[name])
        square[name] += 0.001 * (slope[name] ** 2 - square[name])
        part -= rate / (1 - 0.9**step) * mean[name] / (np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8)


def score(parts: Parts, table: csr_matrix) -> np.ndarray:
    active = np.maximum(table @ parts["into"] + parts["begin"], 0)
    return active @ parts["out"][:, :3] + parts["start"][:3] + table @ parts["direct"]
