"""Recordings with known words, and the score of a transcript."""

import csv
import itertools
import json
import os
import wave
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
from faster_whisper import decode_audio
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

RATE = 16000
ROOT = Path(__file__).resolve().parents[2]
ENGLISH, BASIC = EnglishTextNormalizer(), BasicTextNormalizer()


@dataclass
class Recording:
    language: str
    text: str
    samples: np.ndarray

    @property
    def seconds(self) -> float:
        return self.samples.size / RATE

    def wav(self) -> bytes:
        """16-bit PCM: what both sides get."""
        path = ROOT / "target/bench/recording.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", None))
            file.writeframes((self.samples * 32767).round().astype("<i2").tobytes())
        return path.read_bytes()


def recordings(language: str, most: int) -> list[Recording]:
    """The development recordings (AI_AUDIO_SPEECH), or without them the clips that `models/fetch` gets."""
    if folder := os.environ.get("AI_AUDIO_SPEECH"):
        with open(Path(folder) / "manifest.tsv") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "voice"]
        known = [(Path(folder) / row["path"], row["language"], row["transcript"]) for row in rows]
    else:
        folder = ROOT / "target/speech"
        rows = json.loads((folder / "index.json").read_text())["files"]
        known = [(folder / row["path"], row.get("language"), row.get("text")) for row in rows]
    chosen = [item for item in known if item[1] == language and item[2]][:most]
    return [Recording(language, text, decode_audio(str(path))) for path, language, text in chosen]


def joined(parts: list[Recording], seconds: float = 0, gap: float = 0.3) -> Recording:
    """One after the other with pauses between them; all of them, and again until the length is reached."""
    samples, text = [], []
    for count, part in enumerate(itertools.cycle(parts)):
        if count >= len(parts) and sum(map(len, samples)) >= seconds * RATE:
            break
        samples += [part.samples, np.zeros(int(gap * RATE), np.float32)]
        text.append(part.text)
    return Recording(parts[0].language, " ".join(text), np.concatenate(samples))


def error_rate(wanted: list[Recording], given: list[str]) -> float:
    """Percent: words after Whisper's English normaliser, characters for Chinese after its basic one."""
    if wanted[0].language == "zh":
        bare = lambda text: "".join(BASIC(text).split())
        return 100 * jiwer.cer([bare(r.text) for r in wanted], [bare(text) for text in given])
    normal = ENGLISH if wanted[0].language == "en" else BASIC
    return 100 * jiwer.wer([normal(r.text) for r in wanted], [normal(text) for text in given])
