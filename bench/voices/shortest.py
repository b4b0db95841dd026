#!/usr/bin/env python3
"""What a voiceprint of very little speech is worth: SPEECH CAMPPLUS.onnx

For each length: mean similarity of pairs from the same and from different speakers, and the equal error rate. Parts
begin 2 s into each clip of SPEECH/voices.
"""
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.append(str(Path(__file__).parents[2] / "models/training"))
import speech

LENGTHS_MS = (25, 50, 100, 200, 300, 400, 500, 1000)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    return min(max((same < at).mean(), (different >= at).mean()) for at in np.concatenate([same, different]))


def main() -> None:
    folder, model = Path(sys.argv[1]), speech.Speaker(sys.argv[2])
    clips = [(path.name.split("-")[0], soundfile.read(path, dtype="float32")[0]) for path in sorted(folder.glob("voices/*.flac"))]
    speakers = np.array([speaker for speaker, _ in clips])
    pairs = np.triu_indices(len(clips), 1)
    alike = (speakers[:, None] == speakers[None, :])[pairs]
    print("| ms | same | different | EER |\n|---|---|---|---|")
    for length in LENGTHS_MS:
        prints = [model.embed(samples[32000 : 32000 + 16 * length]) for _, samples in clips]
        prints = speech.unit(np.array(prints))
        similarity = (prints @ prints.T)[pairs]
        same, different = similarity[alike], similarity[~alike]
        print(f"| {length} | {same.mean():.2f} | {different.mean():.2f} | {100 * equal_error_rate(same, different):.0f} % |")


if __name__ == "__main__":
    main()
