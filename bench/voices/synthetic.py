#!/usr/bin/env python3
"""Synthetic voiceprints for clustering: ROWS SPEAKERS OUT.f32 [SEED]; labels go to OUT.f32.npy.

A voiceprint is q x speaker + sqrt(1 - q^2) x session, both of norm 1 in 192 dimensions, with variances that fall as
1/sqrt(i) along random axes and a small mean in common. That gives what is measured on real clips of 3 s and more (see
docs/internals/calibration.md): similarities of different speakers 0.06 +- 0.10, of the same speaker 0.72 +- 0.09.
"""
import sys

import numpy as np

DIMENSIONS = 192
BLOCK = 50_000


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def voiceprints(rows, speakers, seed=1):
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))
    spread = np.arange(1, DIMENSIONS + 1) ** -0.25 / 4.7

    def draw(n):
        return (rng.standard_normal((n, DIMENSIONS)) * spread) @ axes

    common = unit(draw(1)) * 0.25
    voices = unit(unit(draw(speakers)) + common)
    who = rng.integers(speakers, size=rows)
    quality = np.sqrt(rng.uniform(0.52, 0.92, rows))[:, None]
    out = np.empty((rows, DIMENSIONS), np.float32)
    for start in range(0, rows, BLOCK):
        part = slice(start, start + BLOCK)
        q, voice = quality[part], voices[who[part]]
        session = draw(len(voice))
        session = unit(session - (session * voice).sum(axis=1, keepdims=True) * voice)
        out[part] = q * voice + np.sqrt(1 - q**2) * session
    return out, who


def describe(x, who):
    i, j = np.random.default_rng(0).integers(len(x), size=(2, 1_000_000))
    i, j = i[i != j], j[i != j]
    same = who[i] == who[j]
    for name, chosen in (("same", same), ("different", ~same)):
        s = (x[i[chosen][:100_000]] * x[j[chosen][:100_000]]).sum(axis=1)
        print(f"{name} speaker: {s.mean():.3f} +- {s.std():.3f}, 1 to 99 %: {np.percentile(s, [1, 99]).round(2)}")


if __name__ == "__main__":
    rows, speakers, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    x, who = voiceprints(rows, speakers, int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    x.tofile(path)
    np.save(path + ".npy", who.astype(np.int32))
    describe(x, who)
