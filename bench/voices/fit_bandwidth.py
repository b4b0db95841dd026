#!/usr/bin/env python3
"""Fits what fills the upper band of narrow recordings (crates/speech/src/bandwidth.rs), and tries it:
SPEECH CLIPS MODEL

SPEECH is the folder of development recordings, CLIPS that of `models/fetch`. The fit takes the wide-band speech of both,
without the speaker that SPEECH/formats is of; what it is worth comes from two fits that each saw the other half of the
speakers. Features as in speech.py, each recording's mean subtracted.
"""
import sys
import zlib
from pathlib import Path

import bandwidth
import numpy as np
import speech

OWN = "ls_1688"  # who speaks in formats/
TELEPHONE = ("diane", "sheila")  # with wide-band noise


def conditions():
    return {
        "8 kHz": lambda x: speech.coded(x, 8000, "WAV", "PCM_16"),
        "11 kHz": lambda x: speech.coded(x, 11025, "WAV", "PCM_16"),
        "telephone": lambda x: speech.telephone(x, None),
        "mobile": lambda x: speech.mobile(x, None),
        "MP3, 8 kHz": lambda x: speech.coded(x, 8000, "MP3", "MPEG_LAYER_III", compression_level=0.9),
        "Opus, 8 kHz": lambda x: speech.coded(x, 8000, "OGG", "OPUS", compression_level=1.0),
    }


class Trial:
    """Voiceprints of clips cut to 5 s, and of 2 s in them."""

    def __init__(self, speaker, clips, change=lambda x: x, fits=None):
        self.rows = []
        for name, who, samples in clips:
            features = speaker.raw(change(samples[: 5 * speech.RATE]))
            for short in (False, True):
                if not short or len(features) >= 300:
                    part = features[100:298] if short else features
                    self.rows.append((name, who, short, self.voiceprint(speaker, part, fits and fits(who))))

    def voiceprint(self, speaker, raw, fitted):
        voiceprint = speaker.network(speaker.features(raw, fitted))
        return voiceprint / np.linalg.norm(voiceprint)

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


def fit(recordings):
    return {name: bandwidth.fit(recordings, whole) for name, (_, whole) in bandwidth.CHANNELS.items()}


def main(root, clips, model):
    speaker = speech.Speaker(model)
    voices = [(name, who, x) for name, who, kind, x in speech.clips(root) if kind == "voices"]
    prompts = [(name, who, x) for name, who, _, x in speech.clips(clips)]
    rest = [(who, x) for _, who, kind, x in speech.clips(root) if kind == "meetings"] + [p[1:] for p in prompts]
    recordings = [(who, speaker.raw(x)) for who, x in [v[1:] for v in voices] + rest if who not in TELEPHONE]
    wide = [(who, speech.normalised(x)) for who, x in recordings if bandwidth.channel(x) is None]
    for name, fitted in fit([x for who, x in wide if who != OWN]).items():
        bandwidth.save(name, fitted)
    halves = [fit([x for who, x in wide if half(who) != h]) for h in (0, 1)]

    def fits(who):
        return halves[half(who)]

    print("| | own | 5 s: EER, same, different | 2 s: EER, same, different |\n|---|---|---|---|")
    full = Trial(speaker, voices)
    print(f"| wide against wide | {full.against(full)} |")
    for name, change in conditions().items():
        for how, given in (("as it is", None), ("filled", fits)):
            narrow = Trial(speaker, voices, change, given)
            print(f"| wide against {name}, {how} | {full.against(narrow)} |")
            print(f"| {name}, {how} | {narrow.against(narrow)} |", flush=True)
    narrow = [p for p in prompts if bandwidth.channel(speaker.raw(p[2]))]
    for how, given in (("as they are", None), ("filled", fits)):
        trial = Trial(speaker, narrow, fits=given)
        print(f"| prompts, {how} | {trial.against(trial)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
