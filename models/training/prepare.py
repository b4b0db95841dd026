#!/usr/bin/env python3
"""Voiceprints of every clip, whole and cut, clean and in other conditions: SPEECH MODEL NARROW VAD OUT.npz [PACKAGES]

PACKAGES is a folder of unpacked packages of Debian with acted speech (speech.played)."""
import itertools
import multiprocessing
import sys

import bandwidth
import numpy as np
import speech


def cuts(name, condition, length):
    """(seconds, from, to) in samples: each length twice where it fits, and the whole clip."""
    for seconds in speech.CUTS:
        wanted = int(seconds * speech.RATE)
        for nth in range(2 if condition == "clean" else 1):
            if wanted * (nth + 1) <= length:
                # The two do not overlap: each lies in its half.
                half = length // 2 if wanted * 2 <= length else length
                start = nth * half + speech.seed(name, condition, seconds, nth).integers(half - wanted + 1)
                yield seconds, start, start + wanted
    yield 0.0, 0, length


def voiceprints(clip):
    """(clip, speaker, set, condition, narrow, cut, seconds of speech, start, voiceprint) of one clip."""
    name, who, kind, samples = clip
    said = shared["vad"].mask(samples)
    for condition, change in shared["conditions"].items():
        if kind not in ("voices", "package") and condition not in ("clean", "telephone"):
            continue
        heard = change(samples, speech.seed(name, condition))
        narrow = speech.is_narrow(heard, said)
        for seconds, start, end in cuts(name, condition, len(samples)):
            spoken = said[start:end].sum() / speech.RATE
            if spoken >= 0.5:
                voiceprint = shared["speaker"].embed(heard[start:end])
                yield name, who, kind, condition, narrow, seconds, spoken, start / speech.RATE, voiceprint


def begin(root, model, narrow, vad):
    shared.update(speaker=speech.Speaker(model, narrow, bandwidth.load()), vad=speech.Vad(vad), conditions=speech.conditions(root))


def work(clip):
    return list(voiceprints(clip))


shared = {}


def main(root, model, narrow, vad, out, packages=None):
    clips = itertools.chain(speech.clips(root), speech.played(packages) if packages else ())
    with multiprocessing.Pool(2, begin, (root, model, narrow, vad)) as pool:
        rows = [row for clip in pool.imap(work, clips) for row in clip]
    names = ("clip", "speaker", "set", "condition", "narrow", "cut", "speech", "start", "voiceprint")
    np.savez_compressed(out, **{name: np.array(column) for name, column in zip(names, zip(*rows))})


if __name__ == "__main__":
    main(*sys.argv[1:])
