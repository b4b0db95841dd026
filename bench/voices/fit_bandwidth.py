#!/usr/bin/env python3
"""Fits what is done to narrow recordings (crates/speech/src/bandwidth.rs), and tries it: SPEECH CLIPS MODEL

SPEECH is the folder of development recordings, CLIPS that of `models/fetch`. The fit takes the wide-band speech of both,
without the speaker that SPEECH/formats is of; what it is worth comes from two fits that each saw the other half of the
speakers. Features as in speech.py, each recording's mean subtracted.
"""
import multiprocessing
import sys
import zlib
from pathlib import Path

import bandwidth
import numpy as np
import speech

OWN = "ls_1688"  # who speaks in formats/
TELEPHONE = ("diane", "sheila")  # with wide-band noise
SPEEDS = (0.9, 1.0, 1.12)  # other voices from the same speech
PIECE = 250  # frames
MP3 = "MPEG_LAYER_III"

CONDITIONS = {
    "8 kHz": lambda x: speech.coded(x, 8000, "WAV", "PCM_16"),
    "8 kHz, 8 bits": lambda x: speech.coded(x, 8000, "WAV", "PCM_U8"),
    "11 kHz": lambda x: speech.coded(x, 11025, "WAV", "PCM_16"),
    "telephone": lambda x: speech.telephone(x, None),
    "mobile": lambda x: speech.mobile(x, None),
    "MP3, 8 kHz": lambda x: speech.coded(x, 8000, "MP3", MP3, compression_level=0.9),
    "Opus, 8 kHz": lambda x: speech.coded(x, 8000, "OGG", "OPUS", compression_level=1.0),
}


class Trial:
    """Voiceprints of clips cut to 5 s, and of 2 s in them."""

    def __init__(self, speaker, clips, change=lambda x: x, fits=None):
        self.rows = []
        for name, who, samples in clips:
            raw = speaker.raw(change(samples[: 5 * speech.RATE]))
            for short in (False, True):
                if not short or len(raw) >= 300:
                    part = raw[100:298] if short else raw
                    self.rows.append((name, who, short, speech.unit(speaker.voiceprint(part, fits and fits(who)))))

    def against(self, other):
        """Own: of the same recording. Then of different ones of equal length: EER, mean similarities."""
        name, who, short, x = map(np.array, zip(*self.rows))
        name2, who2, short2, y = map(np.array, zip(*other.rows))
        similarity, result = x @ y.T, []
        own = similarity[(name[:, None] == name2) & ~short[:, None] & ~short2]
        result.append(f"{own.mean():.3f}, {own.min():.3f}" if own.min() < 0.999 else "")
        for length in (False, True):
            chosen = (name[:, None] != name2) & (short[:, None] == length) & (short2 == length)
            score, same = similarity[chosen], (who[:, None] == who2)[chosen]
            result.append(f"{100 * eer(score, same):.1f} %, {score[same].mean():.2f}, {score[~same].mean():.2f}")
        return " | ".join(result)


def eer(score, same):
    order = np.argsort(score)
    missed = np.cumsum(same[order]) / same.sum()
    accepted = 1 - np.cumsum(~same[order]) / (~same).sum()
    at = np.argmin(np.abs(missed - accepted))
    return (missed[at] + accepted[at]) / 2


def half(who):
    return zlib.crc32(who.encode()) % 2


def begin(model):
    shared["speaker"] = speech.Speaker(model)


def pieces(raw):
    return [raw[i : i + PIECE] for i in range(0, len(raw) - PIECE // 2, PIECE)]


def pairs(job):
    """Voiceprints of a recording in pieces, narrow with its upper band filled and wide, by channel."""
    samples, fillings = job
    speaker, found = shared["speaker"], {name: [] for name in fillings}
    for speed in SPEEDS:
        at_speed = speech.resample(samples, 100, round(100 * speed))
        wide = [speech.unit(speaker.network(speech.normalised(p))) for p in pieces(speaker.raw(at_speed))]
        for change in CONDITIONS.values():
            raw = speaker.raw(change(at_speed))
            name = speaker.channel(raw)
            for piece, target in zip(pieces(raw) if name else (), wide):
                rows = bandwidth.fill(fillings[name], speech.normalised(piece))
                found[name].append((speech.unit(speaker.network(rows)), target))
    return found


def fit(pool, recordings):
    speaker = shared["speaker"]
    features = [speech.normalised(speaker.raw(x)) for x in recordings]
    fillings = {name: bandwidth.fit_fill(features, whole) for name, (_, whole) in bandwidth.CHANNELS.items()}
    found = pool.map(pairs, [(x, fillings) for x in recordings], chunksize=1)
    fitted = {}
    for name, filling in fillings.items():
        narrow, wide = map(np.array, zip(*(pair for of_one in found for pair in of_one[name])))
        fitted[name] = filling, bandwidth.fit_correction(narrow, wide)
    return fitted


shared = {}


def main(root, clips, model):
    begin(model)
    speaker = shared["speaker"]
    voices = [(name, who, x) for name, who, kind, x in speech.clips(root) if kind == "voices"]
    prompts = [(name, who, x) for name, who, _, x in speech.clips(clips)]
    rest = [(who, x) for _, who, kind, x in speech.clips(root) if kind == "meetings"] + [p[1:] for p in prompts]
    recordings = [(who, x) for who, x in [v[1:] for v in voices] + rest if who not in TELEPHONE]
    wide = [(who, x) for who, x in recordings if speaker.channel(speaker.raw(x)) is None]
    with multiprocessing.Pool(2, begin, (model,)) as pool:
        for name, fitted in fit(pool, [x for who, x in wide if who != OWN]).items():
            bandwidth.save(name, *fitted)
        halves = [fit(pool, [x for who, x in wide if half(who) != h]) for h in (0, 1)]

    def fits(who):
        return halves[half(who)]

    print("| | own | 5 s: EER, same, different | 2 s: EER, same, different |\n|---|---|---|---|")
    full = Trial(speaker, voices)
    print(f"| wide against wide | {full.against(full)} |")
    for name, change in CONDITIONS.items():
        for how, given in (("as it is", None), ("helped", fits)):
            narrow = Trial(speaker, voices, change, given)
            print(f"| wide against {name}, {how} | {full.against(narrow)} |")
            print(f"| {name}, {how} | {narrow.against(narrow)} |", flush=True)
    narrow = [p for p in prompts if speaker.channel(speaker.raw(p[2]))]
    for how, given in (("as they are", None), ("helped", fits)):
        trial = Trial(speaker, narrow, fits=given)
        print(f"| {len(narrow)} prompts, {how} | {trial.against(trial)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
