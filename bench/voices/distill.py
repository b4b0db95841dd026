#!/usr/bin/env python3
"""Makes the network for narrow recordings (crates/speech/src/bandwidth/mod.rs): CACHE MINUTES SPEECH CLIPS MODEL [FOLDER...]

The speaker model MODEL is taught to give, of recordings through narrow channels, the voiceprints that it gives of the same
speech in full band (knowledge distillation: Hinton, Vinyals and Dean 2015). It needs no labels: SPEECH is the folder of
development recordings, CLIPS that of `models/fetch`, each FOLDER more wide-band speech, a subfolder per voice; the voices
in narrow.HELD are left out. CACHE is a file for the features, which take ten minutes. The difference to MODEL's weights goes
to models/campplus_narrow.npz. Needs ffmpeg and PyTorch 1.13 or newer, which requirements.txt does not list.
"""
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

GOLDEN = ROOT / "crates/speech/tests/golden/narrow.json"
STEPS = 31  # of a change, to each side
LONGEST = 12  # seconds of a clip
# Frames of a piece, pieces at once, frames from one to the next, how often such a batch is drawn.
LENGTHS = ((200, 8, 50, 0.6), (120, 13, 60, 0.2), (320, 5, 120, 0.2))
RATE, WARM_UP = 1e-3, 200  # of learning, times the root mean square of a tensor's weights; steps until it is reached
SPREAD = 20  # what errors along directions in which voices differ weigh besides the cosine
NOISY = 0.25  # how often there is noise or another voice, 6 to 25 dB below
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

    def forward(self, features):
        values = dict(self.weights, feats=features)
        for node in self.graph.node:
            given = [values[name] for name in node.input]
            options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = getattr(self, node.op_type.lower())(*given, **options)
        return values["embedding"]

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


def begin(model):
    shared.update(speaker=speech.Speaker(model))


def features(job):
    """Log-mel features of a clip in full band and through each 8 kHz channel."""
    name, samples, speed = job
    speaker, rng = shared["speaker"], speech.seed(name, speed)
    x = speech.faster(samples[: LONGEST * speech.RATE], speed)
    x = x * 10 ** (rng.uniform(-30, -17) / 20) / (np.sqrt((x**2).mean()) + 1e-9)
    x = (x / max(1, np.abs(x).max() / 0.98)).astype(np.float32)
    raw = speaker.raw(x)
    if speaker.channel(raw):
        return None
    found = {"full": raw.astype(np.float16)}
    for condition, change in narrow.CONDITIONS.items():
        raw = speaker.raw(change(x, rng))
        if speaker.channel(raw) == "8k":
            found[condition] = raw.astype(np.float16)
    return found


def collect(root, clips, model, folders):
    every = [*speech.clips(root), *speech.clips(clips), *narrow.words(folders)]
    left_out = narrow.HELD | narrow.TELEPHONE
    jobs = [(name, x, s) for name, who, _, x in every for s in speech.SPEEDS if who not in left_out and len(x) > 1.5 * speech.RATE]
    with multiprocessing.Pool(initializer=begin, initargs=(model,)) as pool:
        return [found for found in pool.imap(features, jobs, chunksize=4) if found]


class Pieces:
    """Pieces of one length: where they are, and the voiceprints of their full band."""

    def __init__(self, teacher, recordings, length, hop):
        self.length, self.recordings = length, recordings
        self.places = [(n, s) for n, r in enumerate(recordings) for s in range(0, len(r["full"]) - length, hop)]
        made = [teacher(torch.from_numpy(np.stack([self.full(i) for i in block]))) for block in blocks(len(self.places), 16)]
        self.voiceprints = F.normalize(torch.cat(made).float(), dim=1)

    def full(self, i):
        n, start = self.places[i]
        return speech.normalised(self.recordings[n]["full"][start : start + self.length].astype(np.float32))

    def draw(self, rng, count):
        """Narrow features of so many pieces, and the voiceprints of their full band."""
        chosen = rng.choice(len(self.places), count, replace=False)
        return np.stack([self.narrow(rng, *self.places[i]) for i in chosen]), self.voiceprints[chosen]

    def narrow(self, rng, n, start):
        conditions = [c for c in self.recordings[n] if c != "full"]
        condition = conditions[rng.integers(len(conditions))]
        rows = self.recordings[n][condition][start : start + self.length].astype(np.float32)
        if rng.random() < NOISY:
            rows = self.noisy(rng, rows, condition, rng.random() < 0.5)
        return bandwidth.clear(speech.normalised(rows))

    def noisy(self, rng, rows, condition, voice):
        """With another voice behind, or with noise of about a voice's spectrum."""
        other = self.recordings[rng.integers(len(self.recordings))].get(condition)
        if other is None:
            return rows
        noise = other.astype(np.float32)
        if voice:
            noise = noise[(rng.integers(len(noise)) + np.arange(len(rows))) % len(noise)]
        else:
            tilt = rng.uniform(-0.03, 0.03) * np.arange(rows.shape[1])
            noise = np.log(np.exp(noise).mean(axis=0)) + tilt + np.log(rng.gamma(4, 0.25, rows.shape) + 1e-3)
        _, whole = bandwidth.CHANNELS["8k"]
        power, of_noise = (np.exp(x)[:, :whole].sum(axis=1).mean() for x in (rows, noise))
        below = np.log(power / of_noise) - rng.uniform(6, 25) * np.log(10) / 10
        return np.logaddexp(rows, noise + below).astype(np.float32)


def blocks(count, size):
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def distil(model, recordings, minutes):
    """The learned weights by name."""
    rng, half = np.random.default_rng(1), lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    teacher, pupil = Network(model), Network(model)
    with torch.no_grad(), half():
        sets = [Pieces(teacher, recordings, length, hop) for length, _, hop, _ in LENGTHS]
    all_voiceprints = torch.cat([pieces.voiceprints for pieces in sets])
    spread = all_voiceprints.T @ all_voiceprints / len(all_voiceprints)
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
        rows, wanted = sets[which].draw(rng, LENGTHS[which][1])
        with half():
            made = pupil(torch.from_numpy(rows))
        made = F.normalize(made.float(), dim=1)
        cosine, off = (made * wanted).sum(dim=1).mean(), made - wanted
        loss = 1 - cosine + SPREAD * ((off @ spread) * off).sum(dim=1).mean()
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
    """What crates/speech/tests/networks.rs compares with: clips without what is above 3.9 kHz."""
    n, cut, made = np.arange(-128, 129), 3900 / speech.RATE, []
    taps = 2 * cut * np.sinc(2 * cut * n) * (0.42 + 0.5 * np.cos(np.pi * n / 128) + 0.08 * np.cos(2 * np.pi * n / 128))
    for clip in ("austen-1.wav", "dickens-1.wav", "cards-1.wav"):
        heard = np.convolve(speech.read(Path(clips, clip)), taps, "valid")
        rows = bandwidth.clear(speech.normalised(shared["speaker"].raw(heard)))
        with torch.no_grad():
            voiceprint = network(torch.from_numpy(rows)[None])[0]
        made.append({"clip": clip, "embedding": [round(float(x), 6) for x in voiceprint]})
    reference = "the network in PyTorch, on kaldi-native-fbank features"
    GOLDEN.write_text(json.dumps({"made_by": "bench/voices/distill.py", "reference": reference, "narrow": made}) + "\n")


shared = {}


def main(cache, minutes, root, clips, model, *folders):
    cache = Path(cache)
    if not cache.exists():
        cache.write_bytes(pickle.dumps(collect(root, clips, model, folders)))
    save(model, distil(model, pickle.loads(cache.read_bytes()), float(minutes)))
    begin(model)
    golden(changed(model), clips)


if __name__ == "__main__":
    main(*sys.argv[1:])
