"""What is done to narrow recordings and their voiceprints, as crates/voice/src/bandwidth/ does it."""
from pathlib import Path

import numpy as np

EDGE, CLIFF = (slice(48, 56), slice(66, 73)), 1e-3  # bins below 4 and above 5 kHz, drop of power after a telephone
BINS, DROP, CONTEXT, SIZE, DIRECTIONS = 80, 1e-6, 5, 192, 3
CHANNELS = {"8k": (range(50, 67), 59), "11k": (range(67, 74), 68)}  # where sound ends; bins that are whole
GUESSED = "11k"  # the other has a network of its own
RIDGE = 0.01  # of the features' regression
DAMPING = 0.003  # of the voiceprints' regression
WEIGHTS = Path(__file__).parents[2] / "crates/voice/src/bandwidth/guess_11k.f32"


def channel(features, quiet):
    """The narrow channel of a recording, or None. Takes features that are neither floored nor mean-normalised, and the
    power per frame below which there is only the noise of 16 bits."""
    power = np.exp(features).mean(axis=0)
    last = np.flatnonzero((power > power.max() * DROP) & (power > quiet))
    if not last.size:
        return None
    below, above = (power[bins].sum() for bins in EDGE)
    cliff = "8k" if above < below * CLIFF else None
    return next((name for name, (ends, _) in CHANNELS.items() if last[-1] in ends), cliff)


def clear(rows):
    """Mean-normalised features with 0 in the bins that an 8 kHz channel took."""
    _, whole = CHANNELS["8k"]
    return np.where(np.arange(BINS) < whole, rows, 0).astype(np.float32)


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


def fit_fill(recordings, whole):
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


def fit_correction(narrow, wide):
    """The directions in which voiceprints of norm 1 differ most between a narrow and the full band, and what is to be
    added for each unit that a narrow one has along them."""
    narrow, wide = narrow.astype(np.float64), wide.astype(np.float64)
    change = wide - narrow
    directions = np.linalg.svd(change.T @ change)[0][:, :DIRECTIONS]
    along = narrow @ directions
    square = along.T @ along + DAMPING * len(narrow) * np.eye(DIRECTIONS)
    return directions.T, np.linalg.solve(square, along.T @ change)


def correct(correction, voiceprint):
    directions, changes = correction
    return voiceprint + directions @ voiceprint @ changes


def save(filling, correction):
    rows = [np.concatenate([w, f[: bin + 1]]) for bin, (w, f) in enumerate(zip(*filling))]
    np.concatenate([*rows, *(part.ravel() for part in correction)]).astype("<f4").tofile(WEIGHTS)


def load():
    """Weights and factor of the missing bins; directions and changes of voiceprints."""
    _, whole = CHANNELS[GUESSED]
    values, weights, factor = np.fromfile(WEIGHTS, "<f4"), [], np.zeros((BINS - whole, BINS - whole))
    for bin in range(BINS - whole):
        row, values = np.split(values, [CONTEXT * whole + bin + 1])
        weights.append(row[: CONTEXT * whole])
        factor[bin, : bin + 1] = row[CONTEXT * whole :]
    return (np.stack(weights), factor), tuple(values.reshape(2, DIRECTIONS, SIZE))
