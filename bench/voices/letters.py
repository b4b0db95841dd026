#!/usr/bin/env python3
"""Probabilities on spoken letters and syllables, which no fit has seen: FOLDER MODEL NARROW VAD [CALIBRATION.toml...]

FOLDER is klettres of Debian's klettres-data, a folder per language, of which each has another voice. Letters in random order
are joined to pieces of 6 s, up to ten of a language, and cut to their speech.
"""
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "models/training"))
import calibrate
import speech

NAMES = ("score", "score_shortness", "intercept", "shortness", "both_narrow", "one_narrow")


def pieces(language, vad):
    files = [path for path in sorted(language.rglob("*")) if path.suffix in (".ogg", ".wav", ".mp3")][:120]
    np.random.default_rng(0).shuffle(files)
    joined, made = [], 0
    for path in files:
        joined.append(speech.read(path))
        if sum(map(len, joined)) > 6 * speech.RATE and made < 10:
            samples, joined, made = np.concatenate(joined), [], made + 1
            said = samples[vad.mask(samples)]
            if len(said) > speech.RATE:
                yield said


def main(folder, model, narrow, vad, *calibrations):
    speaker, vad = speech.Speaker(model, narrow), speech.Vad(vad)
    found = [(language.name, said) for language in sorted(Path(folder).iterdir()) for said in pieces(language, vad)]
    voices = np.array([speech.unit(speaker.embed(said)) for _, said in found])
    narrow = np.array([speech.is_narrow(said, np.ones(len(said), bool)) for _, said in found])
    short = np.array([np.log1p(speech.RATE / min(len(said), 20 * speech.RATE)) for _, said in found])
    who = np.array([language for language, _ in found])
    i, j = np.triu_indices(len(found), 1)
    same, similarity = who[i] == who[j], np.einsum("nd,nd->n", voices[i], voices[j])
    trials = SimpleNamespace(shortness=short[i] + short[j], both=narrow[i] & narrow[j], one=narrow[i] ^ narrow[j])
    print(f"{same.sum()} / {(~same).sum()} pairs, EER {calibrate.eer(similarity, same)[0]:.3f}")
    for path in calibrations:
        of = tomllib.loads(Path(path).read_text())["calibration"][0]["similarity"]
        llr = calibrate.features(similarity, trials) @ np.array([of[name] for name in NAMES])
        llr = np.clip(llr, of.get("lowest", -np.inf), of.get("highest", np.inf))
        above = (llr[~same] > np.log(99)).mean()
        print(f"{path}: Cllr {calibrate.cllr(llr, same):.3f}, strangers above 0.99: {100 * above:.2f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
