"""What fills the upper band of narrow recordings, as crates/speech/src/bandwidth.rs does."""
from pathlib import Path

import numpy as np

BINS, DROP, CONTEXT = 80, 1e-6, 5
CHANNELS = {"8k": (range(58, 67), 59), "11k": (range(67, 74), 68)}  # where sound ends; bins that are whole
RIDGE = 0.01
SOURCES = Path(__file__).parents[2] / "crates/speech/src"


def channel(features):
    """The narrow channel of a recording, or None. Takes features that are neither floored nor mean-normalised."""
    power = np.exp(features).sum(axis=0)
    last = int(np.flatnonzero(power > power.max() * DROP)[-1])
    return next((name for name, (ends, _) in CHANNELS.items() if last in ends), None)


def normal(count):
    """The numbers that the extension draws: sums of the quarters of SplitMix64's output."""
    z = (np.arange(count, dtype=np.uint64) + 1) * 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z ^= z >> 31
    quarters = sum((z >> (16 * q)) & 0xFFFF for q in range(4))
    return ((quarters.astype(np.float64) - 131070) * (3**0.5 / 65536)).astype(np.float32)


def around(rows):
    """Each frame with its neighbours."""
    padded = np.pad(rows, ((CONTEXT // 2, CONTEXT // 2), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(rows)] for i in range(CONTEXT)], axis=1)


def fit(recordings, whole):
    """Weights of the known bins for the missing ones, and the Cholesky factor of the error's covariance."""
    known = np.concatenate([around(rows[:, :whole]) for rows in recordings]).astype(np.float64)
    missing = np.concatenate([rows[:, whole:] for rows in recordings]).astype(np.float64)
    square = known.T @ known / len(known) + RIDGE * np.eye(known.shape[1])
    weights = np.linalg.solve(square, known.T @ missing / len(known))
    return weights.T, np.linalg.cholesky(np.cov((missing - known @ weights).T))


def fill(fitted, rows):
    """Mean-normalised features with the missing bins drawn anew."""
    weights, factor = fitted
    noise = normal(rows.size).reshape(rows.shape)[:, : len(factor)]
    missing = around(rows[:, : -len(factor)]) @ weights.T + noise @ factor.T
    filled = np.concatenate([rows[:, : -len(factor)], missing], axis=1)
    return (filled - filled.mean(axis=0)).astype(np.float32)


def path(name):
    return SOURCES / f"bandwidth_{name}.f32"


def save(name, fitted):
    rows = [np.concatenate([w, f[: bin + 1]]) for bin, (w, f) in enumerate(zip(*fitted))]
    np.concatenate(rows).astype("<f4").tofile(path(name))


def load():
    fitted = {}
    for name, (_, whole) in CHANNELS.items():
        values, weights, factor = np.fromfile(path(name), "<f4"), [], np.zeros((BINS - whole, BINS - whole))
        for bin in range(BINS - whole):
            row, values = np.split(values, [CONTEXT * whole + bin + 1])
            weights.append(row[: CONTEXT * whole])
            factor[bin, : bin + 1] = row[CONTEXT * whole :]
        fitted[name] = np.stack(weights), factor
    return fitted
