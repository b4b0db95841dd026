#!/usr/bin/env python3
"""Makes the network for narrow recordings (crates/voice/src/bandwidth/mod.rs): CACHE MINUTES KEEP SPEECH CLIPS MODEL [FOLDER...]

The speaker model MODEL is taught to give, of recordings through narrow channels, the voiceprints that it gives of the same
speech in full band (knowledge distillation: Hinton, Vinyals and Dean 2015), and nearly the same values in between (FitNets:
Romero et al. 2015). It needs no labels: SPEECH is the folder of development recordings, CLIPS that of `models/fetch`, each
FOLDER more wide-band speech, a subfolder per voice (models/training/invent.py makes some); the voices in narrow.HELD are left
out. CACHE is a file for the features, which take a minute for each two of speech. The difference to MODEL's weights goes to
models/campplus_narrow.npz. KEEP of 0 begins with MODEL; more begins with what is there, and averages so much of it with what
is learned, since the average of several runs hears new voices better than each run (model soups: Wortsman et al. 2022).
Needs ffmpeg, and onnx and PyTorch 1.13 or newer, which requirements.txt does not list. Its result is pinned in manifest.toml.
"""
import collections
import json
import multiprocessing
import pickle
import sys
import time
from pathlib import Path

import bandwidth
import narrow
import numpy as np
import onnx
import speech
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "models"))
import convert_campplus

GOLDEN = ROOT / "crates/testing/golden/narrow.json"
STEPS = 31  # of a change, to each side
_, WHOLE = bandwidth.CHANNELS["8k"]  # bins
LONGEST = 12  # seconds of a clip
# Frames of a piece, pieces at once, frames from one to the next, how often such a batch is drawn.
LENGTHS = ((200, 8, 25, 0.35), (120, 13, 30, 0.1), (320, 5, 60, 0.25), (490, 3, 90, 0.3))
# How often a channel is drawn.
CHANNELS = {
    "8 kHz": 1,
    "8 kHz, mu-law": 1,
    "8 kHz, A-law": 1,
    "8 kHz, 8 bits": 1,
    "telephone": 3,
    "mobile": 3,
    "MP3, 16 kbit/s": 3,
    "MP3, 8 or 24 kbit/s": 2,
    "Opus, 6 kbit/s": 3,
    "Opus, 6 kbit/s, again": 2,
    "Opus, 6 kbit/s, once more": 2,
    "Opus, 8 to 12 kbit/s": 2,
}
# What the errors of inner values weigh, in their variances: the outputs of the three blocks.
INNER = {"Conv_243": 0.1, "Conv_630": 0.25, "Relu_891": 0.5}
RATE, WARM_UP = 1e-3, 200  # of learning, times the root mean square of a tensor's weights; steps until it is reached
SPREAD = 20  # what errors along directions in which voices differ weigh besides the cosine
BANK = 1600  # pieces of which those directions are found
NOISY = 0.25  # how often there is noise or another voice, 6 to 25 dB below
MIXED = 0.12  # how often a second voice, up to 8 dB below, is to be heard too
WARPED = 0.4  # how often formants are moved, by up to 15 %: another voice
MASKED = 0.12  # how often some bins and some frames are left out
AVERAGE = 0.998  # of the weights, from step to step


class Network(torch.nn.Module):
    """The ONNX graph of CAM++ (models/convert_campplus.py) in PyTorch."""

    def __init__(self, path):
        super().__init__()
        self.graph = onnx.load(path).graph
        self.weights = {w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in self.graph.initializer}

    def learnable(self):
        """Names of the weights that are learned: not the statistics of batch norms, nor what is constant."""
        norms = {name for node in self.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]}
        learned = (n for n, w in self.weights.items() if w.is_floating_point() and w.numel() > 4 and n not in norms)
        return [name for name in learned if not (self.weights[name] == 1).all()]

    def forward(self, features, inner=()):
        """Voiceprints, and the values of these names."""
        values = dict(self.weights, feats=features)
        for node in self.graph.node:
            given = [values[name] for name in node.input]
            options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = getattr(self, node.op_type.lower())(*given, **options)
        return values["embedding"], [values[name] for name in inner]

    def conv(self, x, weight, bias=None, pads=None, strides=1, dilations=1, group=1, kernel_shape=None):
        convolve = F.conv1d if weight.dim() == 3 else F.conv2d
        return convolve(x, weight, bias, strides, (pads or [0] * 4)[: weight.dim() - 2], dilations, group)

    def batchnormalization(self, x, scale, shift, mean, variance, epsilon):
        return F.batch_norm(x, mean, variance, scale, shift, False, 0, epsilon)

    def gemm(self, x, weight, bias, transB):
        return F.linear(x, weight, bias)

    def matmul(self, a, b):
        return a @ b

    def add(self, a, b):
        return a + b

    def sub(self, a, b):
        return a - b

    def mul(self, a, b):
        return a * b

    def div(self, a, b):
        return a / b if a.is_floating_point() else a // b

    def max(self, a, b):
        return torch.maximum(a, b)

    def equal(self, a, b):
        return a == b

    def cast(self, x, to):
        return x.float()

    def relu(self, x):
        return F.relu(x)

    def sigmoid(self, x):
        return torch.sigmoid(x)

    def sqrt(self, x):
        return torch.sqrt(x)

    def reciprocal(self, x):
        return 1 / x

    def concat(self, *parts, axis):
        return torch.cat(parts, axis)

    def transpose(self, x, perm):
        return x.permute(perm)

    def range(self, start, end, step):
        return torch.arange(int(start), int(end), int(step))

    def shape(self, x, start):
        return torch.tensor(x.shape[start:])

    def reshape(self, x, shape):
        return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])

    def unsqueeze(self, x, axes):
        return x.unsqueeze(int(axes))

    def squeeze(self, x, axes=None):
        return x.squeeze() if axes is None else x.squeeze(int(axes))

    def reducemean(self, x, axes, keepdims):
        return x.mean(axes, keepdim=bool(keepdims))

    def reducesum(self, x, axes, keepdims):
        return x.sum(axes.tolist(), keepdim=bool(keepdims))


def opus_again(x, rng):
    """Opus at about 6 kbit/s, where much depends on level, offset, mode and the length of its frames."""
    late, level = int(rng.integers(320)), 10 ** (rng.uniform(-6, 3) / 20)
    mode = ["-application", rng.choice(["voip", "voip", "audio"]), "-vbr", rng.choice(["on", "on", "off"])]
    frames = ["-b:a", rng.choice(["6k", "6k", "6500", "7k"]), "-frame_duration", str(rng.choice([20, 20, 40, 60]))]
    return narrow.ffmpeg(np.pad(level * x, (late, 0)), 8000, "ogg", "-c:a", "libopus", *mode, *frames)[late:]


CHANGES = narrow.CONDITIONS | {"Opus, 6 kbit/s, again": opus_again, "Opus, 6 kbit/s, once more": opus_again}


def begin(model):
    shared.update(speaker=speech.Speaker(model))


def features(job):
    """Log-mel features of a clip in full band and through each 8 kHz channel."""
    name, who, samples, speed = job
    speaker, rng = shared["speaker"], speech.seed(name, speed)
    x = speech.faster(samples[: LONGEST * speech.RATE], speed)
    x = x * 10 ** (rng.uniform(-30, -17) / 20) / (np.sqrt((x**2).mean()) + 1e-9)
    x = (x / max(1, np.abs(x).max() / 0.98)).astype(np.float32)
    raw = speaker.raw(x)
    if speaker.channel(raw):
        return None
    found = {"who": who, "full": raw.astype(np.float16)}
    for channel in CHANNELS:
        raw = speaker.raw(CHANGES[channel](x, rng))
        if speaker.channel(raw) == "8k":
            found[channel] = raw.astype(np.float16)
    return found


def collect(root, clips, model, folders):
    every = [*speech.clips(root), *speech.clips(clips), *narrow.words(folders)]
    left_out = narrow.HELD | narrow.TELEPHONE
    jobs = [(name, who, x, s) for name, who, _, x in every for s in speech.SPEEDS if who not in left_out and len(x) > 1.5 * speech.RATE]
    with multiprocessing.Pool(initializer=begin, initargs=(model,)) as pool:
        return [found for found in pool.imap(features, jobs, chunksize=4) if found]


class Pieces:
    """Pieces of one length, drawn so that a voice of four times the speech comes twice as often."""

    def __init__(self, recordings, length, hop):
        self.length = length
        self.recordings = [r for r in recordings if len(r["full"]) > length and any(channel in r for channel in CHANNELS)]
        self.places = [(n, s) for n, r in enumerate(self.recordings) for s in range(0, len(r["full"]) - length, hop)]
        voices = [self.recordings[n]["who"] for n, _ in self.places]
        count = collections.Counter(voices)
        often = np.array([count[voice] ** -0.5 for voice in voices])
        self.often = often / often.sum()

    def draw(self, rng, count):
        """Features of so many pieces through narrow channels, and in full band."""
        chosen = rng.choice(len(self.places), count, p=self.often)
        pieces = [self.piece(rng, *self.places[i]) for i in chosen]
        return [torch.from_numpy(np.stack(rows)) for rows in zip(*pieces)]

    def rows(self, n, start, channel):
        return self.recordings[n][channel][start : start + self.length].astype(np.float32)

    def piece(self, rng, n, start):
        possible = [channel for channel in CHANNELS if channel in self.recordings[n]]
        often = np.array([CHANNELS[channel] for channel in possible], float)
        channel = rng.choice(possible, p=often / often.sum())
        heard, full = (self.rows(n, start, c) for c in (channel, "full"))
        if rng.random() < MIXED:
            other, at = self.places[rng.integers(len(self.places))]
            if other != n and channel in self.recordings[other]:
                second = self.rows(other, at, "full")
                louder = level(full) - level(second) - decibels(rng.uniform(0, 8))
                heard = np.logaddexp(heard, self.rows(other, at, channel) + louder)
                full = np.logaddexp(full, second + louder)
        if rng.random() < WARPED:
            factor = rng.uniform(0.85, 1.15)
            heard, full = warped(heard, factor), warped(full, factor)
        if rng.random() < NOISY:
            heard = self.noisy(rng, heard, channel, rng.random() < 0.5)
        heard = bandwidth.clear(speech.normalised(heard))
        if rng.random() < MASKED:
            bins, frames = rng.integers(1, 9), rng.integers(1, self.length // 6)
            low, first = rng.integers(WHOLE - bins), rng.integers(self.length - frames)
            heard[:, low : low + bins] = 0
            heard[first : first + frames] = 0
        return heard, speech.normalised(full).astype(np.float32)

    def noisy(self, rng, rows, channel, voice):
        """With another voice behind, or with noise of about a voice's spectrum."""
        other = self.recordings[rng.integers(len(self.recordings))].get(channel)
        if other is None:
            return rows
        noise = other.astype(np.float32)
        if voice:
            noise = noise[(rng.integers(len(noise)) + np.arange(len(rows))) % len(noise)]
        else:
            tilt = rng.uniform(-0.03, 0.03) * np.arange(rows.shape[1])
            noise = np.log(np.exp(noise).mean(axis=0)) + tilt + np.log(rng.gamma(4, 0.25, rows.shape) + 1e-3)
        louder = level(rows[:, :WHOLE]) - level(noise[:, :WHOLE]) - decibels(rng.uniform(6, 25))
        return np.logaddexp(rows, noise + louder).astype(np.float32)


def level(rows):
    """Logarithm of the mean power of log-mel features."""
    return np.log(np.exp(rows).sum(axis=1).mean())


def decibels(x):
    """As a difference of log-mel features."""
    return x * np.log(10) / 10


def warped(rows, factor):
    """Bin i takes what was in bin i x factor, up to a knee, from which on the rest of the band is fitted in (vocal tract
    length perturbation: Jaitly and Hinton 2013). Above the narrow band nothing moves."""
    bins = np.arange(rows.shape[1])
    knee = min(48, 48 / factor)
    rest = knee * factor + (bins - knee) * (WHOLE - knee * factor) / (WHOLE - knee)
    source = np.select([bins <= knee, bins < WHOLE], [bins * factor, rest], bins)
    below = np.minimum(source.astype(int), len(bins) - 2)
    part = source - below
    return rows[:, below] * (1 - part) + rows[:, below + 1] * part


def distil(model, recordings, minutes, pupil):
    """The learned weights by name, of a network that begins as `pupil`."""
    rng, half = np.random.default_rng(), lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    teacher = Network(model)
    sets = [Pieces(recordings, length, hop) for length, _, hop, _ in LENGTHS]

    def taught(full):
        with torch.no_grad(), half():
            voiceprints, inner = teacher(full, INNER)
        return F.normalize(voiceprints.float(), dim=1), inner

    bank = torch.cat([taught(sets[0].draw(rng, 16)[1])[0] for _ in range(BANK // 16)])
    spread = bank.T @ bank / len(bank)
    learned = {name: pupil.weights[name].requires_grad_(True) for name in pupil.learnable()}
    averaged = {name: w.detach().clone() for name, w in learned.items()}
    scales = [float(w.detach().pow(2).mean().sqrt()) + 1e-3 for w in learned.values()]
    groups = [{"params": [w], "scale": scale} for w, scale in zip(learned.values(), scales)]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0)
    begun, step, cosines = time.time(), 0, []
    while (done := (time.time() - begun) / 60 / minutes) < 1:
        rate = RATE * min(1, (step + 1) / WARM_UP) * (0.97 * (1 + np.cos(np.pi * done)) / 2 + 0.03)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        which = rng.choice(len(sets), p=[often for *_, often in LENGTHS])
        heard, full = sets[which].draw(rng, LENGTHS[which][1])
        wanted, wanted_inner = taught(full)
        with half():
            made, made_inner = pupil(heard, INNER)
        made = F.normalize(made.float(), dim=1)
        cosine, off = (made * wanted).sum(dim=1).mean(), made - wanted
        loss = 1 - cosine + SPREAD * ((off @ spread) * off).sum(dim=1).mean()
        loss += sum(weight * difference(a, b) for weight, a, b in zip(INNER.values(), made_inner, wanted_inner))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned.values(), 1.0)
        optimizer.step()
        step += 1
        keep = min(AVERAGE, step / (step + 50))
        with torch.no_grad():
            for name, w in learned.items():
                averaged[name].lerp_(w, 1 - keep)
        cosines.append(float(cosine))
        if step % 100 == 0:
            print(f"{100 * done:3.0f} %, step {step}: cosine {np.mean(cosines[-100:]):.3f}", flush=True)
    return averaged


def difference(made, wanted):
    """Squared, over the variance of what is wanted, for all channels (the second dimension) together."""
    made, wanted = made.float(), wanted.float()
    others = [axis for axis in range(made.dim()) if axis != 1]
    return ((made - wanted) ** 2).mean(others).sum() / wanted.var(others).sum()


def save(model, learned):
    """The changes of the weights, as convert_campplus.narrow_changes() reads them: tensors in so many steps of each row's
    largest, the rest in half precision."""
    before, stored = Network(model).weights, {}
    for name, after in learned.items():
        change = (after - before[name]).numpy()
        if change.ndim < 2:
            stored[name] = change.astype(np.float16)
            continue
        rows = change.reshape(len(change), -1)
        step = (np.abs(rows).max(axis=1) / STEPS + 1e-12).astype(np.float32)
        stored[name] = np.rint(rows / step[:, None]).astype(np.int8).reshape(change.shape)
        stored[name + convert_campplus.STEP] = step
    np.savez_compressed(convert_campplus.NARROW, **stored)


def changed(model):
    """The network that the saved changes make."""
    network = Network(model)
    for name, change in convert_campplus.narrow_changes().items():
        network.weights[name] = network.weights[name] + torch.from_numpy(change)
    return network


def golden(network, clips):
    """What crates/voice/tests/networks.rs compares with: clips without what is above 3.9 kHz."""
    n, cut, made = np.arange(-128, 129), 3900 / speech.RATE, []
    taps = 2 * cut * np.sinc(2 * cut * n) * (0.42 + 0.5 * np.cos(np.pi * n / 128) + 0.08 * np.cos(2 * np.pi * n / 128))
    for clip in ("austen-1.wav", "dickens-1.wav", "cards-1.wav"):
        heard = np.convolve(speech.read(Path(clips, clip)), taps, "valid")
        rows = bandwidth.clear(speech.normalised(shared["speaker"].raw(heard)))
        with torch.no_grad():
            (voiceprint,), _ = network(torch.from_numpy(rows)[None])
        made.append({"clip": clip, "embedding": [round(float(x), 6) for x in voiceprint]})
    reference = "the network in PyTorch, on kaldi-native-fbank features"
    GOLDEN.write_text(json.dumps({"made_by": "models/training/distill.py", "reference": reference, "narrow": made}) + "\n")


shared = {}


def main(cache, minutes, keep, root, clips, model, *folders):
    cache = Path(cache)
    if not cache.exists():
        cache.write_bytes(pickle.dumps(collect(root, clips, model, folders)))
    keep = float(keep)
    pupil = changed(model) if keep else Network(model)
    begins = {name: w.clone() for name, w in pupil.weights.items()}
    learned = distil(model, pickle.loads(cache.read_bytes()), float(minutes), pupil)
    save(model, {name: w.lerp(begins[name], keep) for name, w in learned.items()})
    begin(model)
    golden(changed(model), clips)


if __name__ == "__main__":
    main(*sys.argv[1:])
