"""Makes conversations from single voices, to choose constants by.

    target/bench/diarize/bin/python bench/diarize/mixtures.py FOLDER

FOLDER/mixed gets 36 conversations of up to two and a half minutes, 1 to 8 speakers, clean, reverberant, by telephone
and in noise; FOLDER/short 48 meetings of half a minute in which most speakers say only a few words; FOLDER/brisk 18
conversations of a minute, 4 to 8 speakers who follow each other without a pause, 2 to 4 s each. Voices and noise
are those of $AI_AUDIO_SPEECH, for the meetings also those of target/speech. Always the same files.
"""

import os
import random
import sys
from math import gcd
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

ROOT = Path(__file__).resolve().parent.parent.parent
SPEECH, CLIPS = Path(os.environ["AI_AUDIO_SPEECH"]), ROOT / "target/speech"
RATE, LOUDNESS = 16000, 0.06
OTHERS = ("allison", "austen", "carlo", "david", "dickens", "cards", "june", "sheila", "diane")
vad = onnxruntime.InferenceSession(ROOT / "target/models/silero_vad_16k_sequence.onnx")


def read(path):
    samples, rate = soundfile.read(path, dtype="float32")
    samples = samples if samples.ndim == 1 else samples.mean(1)
    common = gcd(rate, RATE)
    return samples if rate == RATE else resample_poly(samples, RATE // common, rate // common).astype(np.float32)


def trimmed(path):
    """Without the silence at both ends."""
    samples = read(path)
    padded = np.concatenate([np.zeros(64, np.float32), samples])
    windows = np.stack([padded[i * 512 : i * 512 + 576] for i in range(len(samples) // 512)])
    state = np.zeros((1, 1, 128), np.float32)
    speech = np.where(vad.run(None, {"input": windows, "h": state, "c": state})[0].ravel() > 0.4)[0]
    return samples[max(0, speech[0] * 512 - 800) : (speech[-1] + 1) * 512 + 800] if len(speech) else samples


def room(rng, seconds, wet):
    """An impulse response: one direct sound and a tail that falls by 60 dB in so many seconds."""
    length = int(seconds * RATE)
    response = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length) * wet
    response[0] = 3
    return response / np.sqrt((response**2).sum())


def write(folder, name, samples, turns):
    soundfile.write(folder / f"{name}.wav", (samples / max(1, np.abs(samples).max() * 1.05)).astype(np.float32), RATE)
    lines = [f"SPEAKER {name} 1 {start:.3f} {length:.3f} <NA> <NA> {who} <NA> <NA>\n" for start, length, who in turns]
    (folder / f"{name}.rttm").write_text("".join(lines))


def voices():
    found = {}
    for path in sorted((SPEECH / "voices").glob("*.flac")):
        found.setdefault(path.name.split("-")[0], []).append(path)
    for path in sorted((SPEECH / "voices/zh").iterdir()):
        found.setdefault("zh" + path.name[6:11], []).append(path)
    return found


def noises():
    """What was mixed into the noisy recordings: they less their clean ones."""
    found = {}
    for path in sorted((SPEECH / "noisy").glob("*_0dB.flac")):
        noise = path.stem.split("_")[-2]
        clean, mixed = read(path.with_name(path.name.replace(f"_{noise}_0dB", "_clean"))), read(path)
        length = min(len(clean), len(mixed))
        clean, mixed = clean[:length], mixed[:length]
        found.setdefault(noise, []).append(mixed - np.dot(clean, mixed) / np.dot(clean, clean) * clean)
    return {noise: np.concatenate(parts) for noise, parts in found.items()}


def telephone(samples):
    """300 to 3400 Hz, 8 kHz, 8-bit mu-law."""
    narrow = sosfilt(butter(4, [300, 3400], "band", fs=8000, output="sos"), resample_poly(samples, 1, 2))
    coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow).clip(0, 1)) / np.log(256) * 127) / 127
    return resample_poly(np.sign(coded) * (256 ** np.abs(coded) - 1) / 255, 2, 1)


def mixed(folder, seed, count, condition, seconds, pool, noise):
    rng, choose = np.random.default_rng(seed), random.Random(seed)
    who = choose.sample(sorted(pool), count)
    clips = {name: [trimmed(path) for path in pool[name]] for name in who}
    gain = {name: 10 ** (rng.uniform(-4, 4) / 20) for name in who}
    rooms = {name: room(rng, rng.uniform(0.2, 0.5), 0.25) for name in who}
    samples, time, turns, last = np.zeros((seconds + 30) * RATE), 0.5, [], None
    while time < seconds:
        others = [name for name in who if name != last] or who
        name = choose.choice(others if choose.random() < 0.85 else who)
        clip = choose.choice(clips[name])
        if choose.random() < 0.5 and len(clip) > 3 * RATE:  # a short turn
            length = int(rng.uniform(0.6, 3) * RATE)
            start = int(rng.uniform(0, len(clip) - length))
            clip = clip[start : start + length]
        clip = clip[: 12 * RATE]
        if condition == "reverb":
            clip = fftconvolve(clip, rooms[name])[: len(clip) + 3000]
        clip = clip / np.sqrt((clip**2).mean() + 1e-9) * LOUDNESS * gain[name]
        place = int(time * RATE)
        samples[place : place + len(clip)] += clip
        turns.append((time, len(clip) / RATE, name))
        last = name
        overlaps = choose.random() < (0.15 if seed % 2 else 0.05)
        gap = -rng.uniform(0.2, 1.5) if overlaps else rng.exponential(0.5)
        time = max(time + 0.3, time + len(clip) / RATE + gap)
    samples = samples[: int((max(start + length for start, length, _ in turns) + 0.5) * RATE)]
    if condition in noise:
        sound = np.resize(noise[condition], len(samples))
        loud = LOUDNESS * 10 ** (-choose.choice([5, 10, 15]) / 20)
        samples = samples + sound / np.sqrt((sound**2).mean()) * loud
    if condition == "phone":
        samples = telephone(samples)
    write(folder, f"mixed{seed:02d}_{count}spk_{condition}", samples, turns)


def pink(rng, length):
    spectrum = np.fft.rfft(rng.standard_normal(length))
    sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20)), length)
    return sound / sound.std()


def silenced(turns, start, end):
    """Turns without what they have between two times."""
    for begin, length, who in turns:
        if begin + length <= start or begin >= end:
            yield begin, length, who
            continue
        if begin < start:
            yield begin, start - begin, who
        if begin + length > end:
            yield end, begin + length - end, who


def short(folder, seed, pool, clips):
    """One or two talk all the time; the others say 0.35 to 1.6 s now and then, mostly in pauses made for them."""
    rng, choose = np.random.default_rng(1000 + seed), random.Random(1000 + seed)
    who, seconds = choose.sample(sorted(pool), 1 + seed % 4), 30
    mains = who[:1] if (seed // 4) % 3 != 2 else who[:2]
    gain = {name: 10 ** (rng.uniform(-5, 0) / 20) for name in who}
    rooms = {name: room(rng, rng.uniform(0.15, 0.4), 0.15) for name in who}
    samples, turns = np.zeros(seconds * RATE), []

    def put(name, time, clip):
        clip, place = fftconvolve(clip, rooms[name])[: len(clip)] * gain[name] * LOUDNESS, int(time * RATE)
        clip = clip[: max(0, len(samples) - place)]
        samples[place : place + len(clip)] += clip
        if len(clip):
            turns.append((time, len(clip) / RATE, name))

    time = rng.uniform(0, 2)
    while time < seconds:
        name = choose.choice(mains)
        clip = clips(choose.choice(pool[name]))
        length = int(min(len(clip), rng.uniform(2, 12) * RATE))
        put(name, time, clip[:length])
        overlaps = len(mains) > 1 and choose.random() < 0.2
        time += length / RATE + (rng.uniform(-0.5, 0) if overlaps else rng.exponential(0.6))
    for name in who:
        for _ in range(0 if name in mains else choose.choice([1, 2, 3])):
            clip = clips(choose.choice(pool[name]))
            length = min(int(rng.uniform(0.35, 1.6) * RATE), len(clip))
            start = choose.randrange(0, len(clip) - length + 1)
            pause = choose.random() < 0.7
            time = rng.uniform(0, seconds - length / RATE - 0.5 * pause)
            if pause:
                begin, end = int(time * RATE), int(time * RATE) + length + int(0.15 * RATE)
                samples[begin:end] = 0
                turns[:] = silenced(turns, begin / RATE, end / RATE)
            put(name, time + 0.05 * pause, clip[start : start + length])
    turns = sorted(turn for turn in turns if turn[1] > 0.05)
    noise = pink(rng, len(samples)) * LOUDNESS * 0.7 * 10 ** (-choose.choice([20, 25, 30, 40]) / 20)
    write(folder, f"short{seed:02d}_{len({t[2] for t in turns})}spk", samples + noise, turns)


def brisk(folder, seed, pool):
    """Nobody waits: each begins where the last one ends, in a room of the six."""
    rng, choose = np.random.default_rng(2000 + seed), random.Random(2000 + seed)
    who = choose.sample(sorted(pool), 4 + seed % 5)
    clips = {name: [clip for clip in map(trimmed, pool[name]) if len(clip) > 2.2 * RATE] for name in who}
    who = [name for name in who if clips[name]]
    gain = {name: 10 ** (rng.uniform(-3, 3) / 20) for name in who}
    rooms = {name: room(rng, rng.uniform(0.15, 0.4), 0.15) for name in who}
    samples, time, turns, last = np.zeros(70 * RATE), 0.3, [], None
    while time < 60:
        # Everybody talks before anybody talks again too often.
        said = {name: sum(turn[2] == name for turn in turns) for name in who}
        fewest = min(said[name] for name in who if name != last)
        last = choose.choice([name for name in who if name != last and said[name] <= fewest + 1])
        clip = choose.choice(clips[last])
        length = min(int(rng.uniform(2, 4) * RATE), len(clip))
        start = choose.randrange(0, len(clip) - length + 1)
        clip = clip[start : start + length]
        if seed % 2:
            clip = fftconvolve(clip, rooms[last])[:length]
        place = int(time * RATE)
        samples[place : place + length] += clip / np.sqrt((clip**2).mean() + 1e-9) * LOUDNESS * gain[last]
        turns.append((time, length / RATE, last))
        time += length / RATE
    samples = samples[: int((time + 0.5) * RATE)]
    write(folder, f"brisk{seed:02d}_{len(who)}spk", samples + pink(rng, len(samples)) * LOUDNESS * 0.01, turns)


def main():
    folders = [Path(sys.argv[1]) / name for name in ("mixed", "short", "brisk")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    pool, noise = voices(), noises()
    kinds = [(1, 30), (2, 30), (2, 100), (3, 60), (5, 120), (8, 150)]
    for i, condition in enumerate(("clean", "reverb", "phone", "cafe", "babble", "traffic")):
        for j, (count, seconds) in enumerate(kinds):
            mixed(folders[0], i * len(kinds) + j, count, condition, seconds, pool, noise)
    for seed in range(18):
        brisk(folders[2], seed, pool)
    pool |= {name: sorted(CLIPS.glob(f"{name}-[0-9].wav")) for name in OTHERS}
    kept = {}

    def clips(path):
        if path not in kept:
            samples = trimmed(path)
            kept[path] = samples / np.sqrt((samples**2).mean() + 1e-9)
        return kept[path]

    for seed in range(48):
        short(folders[1], seed, pool, clips)


if __name__ == "__main__":
    main()
