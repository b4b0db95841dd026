#!/usr/bin/env python3
"""Identification on telephone prompts that no fit has seen: FOLDER MODEL NARROW

FOLDER holds Debian packages of prompts, each unpacked (dpkg -x) into a folder of its name: asterisk-core-sounds-en-wav, -es-wav
(one voice), -fr-wav, -it-wav, -ru-wav, asterisk-prompt-es-co, -fr-armelle and -it-menardi-wav: seven voices. Each is enrolled
with the mean of three prompts and tested with others, 20 times over; as they are and by the network for narrow recordings.
"""
import random
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.append(str(Path(__file__).parents[2] / "models/training"))
import speech

SAME_VOICE = {"asterisk-core-sounds-es-wav": "asterisk-core-sounds-en-wav"}
LENGTHS = ((1, 2), (2, 4), (4, 10))  # seconds
PROMPTS, DRAWS, ENROLLED = 25, 20, 3


def read(path):
    known = {} if path.suffix == ".wav" else {"samplerate": 8000, "channels": 1, "format": "RAW", "subtype": "GSM610"}
    samples, rate = soundfile.read(path, dtype="float32", **known)
    return speech.resample(samples, speech.RATE, rate)


def prompts(folder, shortest, longest):
    """Up to so many prompts of each voice that are so long."""
    voices = {}
    for package in sorted(folder.iterdir()):
        paths = sorted(path for path in package.rglob("*.*") if path.suffix in (".wav", ".gsm") and "silence" not in str(path))
        random.Random(1).shuffle(paths)
        fitting = (samples for samples in map(read, paths) if shortest <= len(samples) / speech.RATE < longest)
        found = voices.setdefault(SAME_VOICE.get(package.name, package.name), [])
        found += [samples for samples, _ in zip(fitting, range(PROMPTS))]
    return voices


def draw(voices, seed):
    """Similarities of tests to enrolments, and whose the tests are."""
    chance, enrolled, tests, whose = random.Random(seed), [], [], []
    for number, prints in enumerate(voices):
        order = chance.sample(range(len(prints)), len(prints))
        enrolled.append(speech.unit(prints[order[:ENROLLED]].mean(axis=0)))
        tests += [prints[i] for i in order[ENROLLED:]]
        whose += [number] * (len(prints) - ENROLLED)
    return np.array(tests) @ np.array(enrolled).T, np.array(whose)


def rates(similarity, whose):
    own = np.arange(similarity.shape[1]) == whose[:, None]
    same, different = similarity[own], similarity[~own]
    eer = min(max((same < at).mean(), (different >= at).mean()) for at in same)
    return eer, (similarity.argmax(axis=1) == whose).mean(), same.mean(), different.mean()


def main(folder, model, narrow):
    print("| prompts | channel | EER | top-1 | same | different |\n|---|---|---|---|---|---|")
    for shortest, longest in LENGTHS:
        voices = prompts(Path(folder), shortest, longest)
        for band, network in (("as it is", None), ("helped", narrow)):
            speaker = speech.Speaker(model, network)
            prints = [speech.unit(np.array([speaker.embed(x) for x in samples])) for samples in voices.values()]
            eer, top, same, different = np.mean([rates(*draw(prints, seed)) for seed in range(DRAWS)], axis=0)
            print(f"| {shortest} to {longest} s | {band} | {100 * eer:.1f} % | {100 * top:.1f} % | {same:.2f} | {different:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
