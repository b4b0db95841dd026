#!/usr/bin/env python3
"""Fits the guess at what 11 kHz recordings lack (crates/voice/src/bandwidth/guess.rs), and tries it: SPEECH CLIPS MODEL

SPEECH is the folder of development recordings, CLIPS that of `models/fetch`. The fit takes the wide-band speech of both,
without the speaker that SPEECH/formats is of; what it is worth comes from two fits that each saw the other half of the
speakers. Features as in speech.py, each recording's mean subtracted.
"""
import multiprocessing
import sys
import zlib
from pathlib import Path

import bandwidth
import narrow
import numpy as np
import speech

OWN = "ls_1688"  # who speaks in formats/
TELEPHONE = ("diane", "sheila")  # with wide-band noise
PIECE = 250  # frames
CONDITION = "11 kHz"


def half(who):
    return zlib.crc32(who.encode()) % 2


def begin(model):
    shared["speaker"] = speech.Speaker(model)


def pieces(raw):
    return [raw[i : i + PIECE] for i in range(0, len(raw) - PIECE // 2, PIECE)]


def pairs(job):
    """Voiceprints of a recording in pieces, its upper band guessed and whole."""
    samples, filling = job
    speaker, found = shared["speaker"], []
    for speed in speech.SPEEDS:
        at_speed = speech.faster(samples, speed)
        whole = [speech.unit(speech.run(speaker.full, speech.normalised(p))) for p in pieces(speaker.raw(at_speed))]
        raw = speaker.raw(narrow.CONDITIONS[CONDITION](at_speed, None))
        if speaker.channel(raw) == bandwidth.GUESSED:
            for piece, target in zip(pieces(raw), whole):
                rows = bandwidth.fill(filling, speech.normalised(piece))
                found.append((speech.unit(speech.run(speaker.full, rows)), target))
    return found


def fit(pool, recordings):
    _, bins = bandwidth.CHANNELS[bandwidth.GUESSED]
    filling = bandwidth.fit_fill([speech.normalised(shared["speaker"].raw(x)) for x in recordings], bins)
    found = pool.map(pairs, [(x, filling) for x in recordings], chunksize=1)
    guessed, whole = map(np.array, zip(*(pair for of_one in found for pair in of_one)))
    return filling, bandwidth.fit_correction(guessed, whole)


shared = {}


def main(root, clips, model):
    begin(model)
    speaker = shared["speaker"]
    voices = [clip for clip in speech.clips(root) if clip[2] == "voices"]
    rest = [clip for clip in speech.clips(root) if clip[2] == "meetings"] + [*speech.clips(clips)]
    recordings = [(who, x) for _, who, _, x in voices + rest if who not in TELEPHONE]
    wide = [(who, x) for who, x in recordings if speaker.channel(speaker.raw(x)) is None]
    with multiprocessing.Pool(2, begin, (model,)) as pool:
        bandwidth.save(*fit(pool, [x for who, x in wide if who != OWN]))
        halves = [fit(pool, [x for who, x in wide if half(who) != h]) for h in (0, 1)]
    helped = [speech.Speaker(model, guess=fitted) for fitted in halves]
    full = narrow.Trial(speaker, voices)
    for how, given in (("as it is", [speaker] * 2), ("guessed", helped)):
        trial = narrow.Trial(speaker, [])
        for h in (0, 1):
            trial.rows += narrow.Trial(given[h], [v for v in voices if half(v[1]) == h], narrow.CONDITIONS[CONDITION]).rows
        print(how, full.against(trial), trial.against(trial), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
