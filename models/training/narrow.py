#!/usr/bin/env python3
"""What help for narrow recordings is worth: SPEECH CLIPS MODEL NARROW [FOLDER...]

On the voices that the network was not made from, and on the telephone prompts among CLIPS. SPEECH is the folder of development
recordings, CLIPS that of `models/fetch`, each FOLDER more speech, a subfolder per voice: /usr/share/klettres and
/usr/share/ktuberling/sounds of Debian's klettres-data and ktuberling.
"""
import subprocess
import sys
from pathlib import Path

import bandwidth
import calibrate
import numpy as np
import speech

# Not in what the network was made from: who speaks in formats/, and nine more.
HELD = {"ls_1688", "ls_2414", "ls_533", "ls_3331", "aishell_S0252", "so762_0457", "dickens", "david", "klettres/de", "sounds/uk"}
TELEPHONE = {"diane", "sheila", "allison", "ivrvoice", "carlo", "june"}  # among CLIPS: nothing above 4 kHz, or noise there


def ffmpeg(samples, rate, form, *options):
    """Coded by ffmpeg and decoded."""
    pcm = ["-f", "f32le", "-ac", "1"]
    given = speech.resample(samples, rate, speech.RATE).clip(-1, 1).astype("<f4").tobytes()
    command = ["ffmpeg", "-v", "error", *pcm, "-ar", str(rate), "-i", "-", *options, "-f", form, "-"]
    made = subprocess.run(command, input=given, capture_output=True, check=True).stdout
    decoder = ["-c:a", "libopus"] if form == "ogg" else []
    command = ["ffmpeg", "-v", "error", *decoder, "-f", form, "-i", "-", *pcm, "-ar", str(speech.RATE), "-"]
    heard = np.frombuffer(subprocess.run(command, input=made, capture_output=True, check=True).stdout, "<f4")
    return np.pad(heard, (0, max(0, len(samples) - len(heard))))[: len(samples)]


def mp3(*rates):
    return lambda x, rng: ffmpeg(x, 8000, "mp3", "-c:a", "libmp3lame", "-b:a", f"{rng.choice(rates)}k")


def opus(*rates):
    return lambda x, rng: ffmpeg(x, 8000, "ogg", "-c:a", "libopus", "-application", "voip", "-b:a", f"{rng.choice(rates)}k")


def pcm(rate, kind="PCM_16"):
    return lambda x, _: speech.coded(x, rate, "WAV", kind)


CONDITIONS = {
    "8 kHz": pcm(8000),
    "8 kHz, mu-law": pcm(8000, "ULAW"),
    "8 kHz, A-law": pcm(8000, "ALAW"),
    "8 kHz, 8 bits": pcm(8000, "PCM_U8"),
    "11 kHz": pcm(11025),
    "11 kHz, 8 bits": pcm(11025, "PCM_U8"),
    "telephone": speech.telephone,
    "mobile": speech.mobile,
    "MP3, 16 kbit/s": mp3(16),
    "MP3, 8 or 24 kbit/s": mp3(8, 24),
    "Opus, 6 kbit/s": opus(6),
    "Opus, 8 to 12 kbit/s": opus(8, 10, 12),
}


def words(folders):
    """(name, voice, set, samples) of folders of short recordings, a subfolder per voice: joined to 4 s and more."""
    for folder in map(Path, folders):
        for voice in sorted(path for path in folder.iterdir() if path.is_dir()):
            joined, length, number = [], 0, 0
            for path in sorted(p for p in voice.rglob("*") if p.suffix in (".wav", ".ogg", ".mp3", ".flac")):
                samples = speech.read(path)[: 8 * speech.RATE]
                power = (samples[: len(samples) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
                loud = np.flatnonzero(power > power.max(initial=1e-7) * 1e-3)
                if not len(loud):
                    continue
                said = samples[max(0, loud[0] - 3) * 160 : (loud[-1] + 4) * 160]
                joined.append(said / np.sqrt((said**2).mean()) * 0.05)
                length += len(said)
                if length > 4 * speech.RATE:
                    name = f"{folder.name}/{voice.name}"
                    yield f"{name}#{number}", name, "words", np.concatenate(joined).clip(-1, 1)
                    joined, length, number = [], 0, number + 1
                if number == 6:
                    break


class Trial:
    """Voiceprints of clips cut to 5 s, and of 2 s in them."""

    def __init__(self, speaker, clips, change=lambda x, _: x):
        self.rows = []
        for name, who, _, samples in clips:
            raw = speaker.raw(change(samples[: 5 * speech.RATE], speech.seed(name)))
            for short in (False, True):
                if not short or len(raw) >= 300:
                    part = raw[100:298] if short else raw
                    self.rows.append((name, who, short, speech.unit(speaker.voiceprint(part))))

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
            error, _ = calibrate.eer(score, same)
            result.append(f"{100 * error:.1f} %, {score[same].mean():.2f}, {score[~same].mean():.2f}")
        return result


def row(title, before, after):
    print("|", " | ".join([title, *(value for pair in zip(before, after) for value in pair)]), "|", flush=True)


def main(root, clips, model, network, *folders):
    plain, helped = speech.Speaker(model), speech.Speaker(model, network, bandwidth.load())
    every = [*speech.clips(root), *speech.clips(clips), *words(folders)]
    wide = [c for c in every if c[1] in HELD and len(c[3]) > speech.RATE and helped.channel(helped.raw(c[3])) is None]
    print(len(wide), "clips of", len({who for _, who, _, _ in wide}), "voices")
    row("Pairs", *[[f"{what}, {how}" for what in ("own", "5 s", "2 s")] for how in ("as it is", "helped")])
    print("|---" * 7 + "|")
    full = Trial(plain, wide)
    row("full band against full band", full.against(full), ["", "the same", "the same"])
    for name, change in CONDITIONS.items():
        before, after = Trial(plain, wide, change), Trial(helped, wide, change)
        row(f"full band against {name}", full.against(before), full.against(after))
        row(f"{name} against {name}", before.against(before), after.against(after))
    narrow = [c for c in every if c[1] in TELEPHONE and helped.channel(helped.raw(c[3]))]
    before, after = Trial(plain, narrow), Trial(helped, narrow)
    row(f"{len(narrow)} telephone clips", before.against(before), after.against(after))


if __name__ == "__main__":
    main(*sys.argv[1:])
