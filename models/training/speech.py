"""Recordings to voiceprints, in Python and without the extension: what the calibration is fitted on.

Features are kaldi-native-fbank's, the network runs in onnxruntime; both agree with the 3D-Speaker reference.
"""
import io
import json
import math
import zlib
from pathlib import Path

import bandwidth
import kaldi_native_fbank as knf
import numpy as np
import onnxruntime
import scipy.signal
import soundfile

RATE = 16000
CUTS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)  # seconds; and each clip whole
PLAYED = {"fillets": 60, "hedgewars": 25, "tuxpaint": 30}  # clips of a voice
FEW = 300  # a language with fewer recordings than this has several voices
SPEEDS = (0.9, 1.0, 1.12)  # make more voices of the same speech


def seed(*parts):
    """A generator that depends on the arguments only."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, parts)).encode()))


def read(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    return resample(samples, RATE, rate)


def resample(x, up, down):
    """By a long filter: what a short one lets through beyond the band is heard as sound."""
    if up == down:
        return x
    divisor = math.gcd(up, down)
    up, down = up // divisor, down // divisor
    taps = scipy.signal.firwin(128 * max(up, down) + 1, 0.95 / max(up, down), window=("kaiser", 10.0))
    return scipy.signal.resample_poly(x, up, down, window=taps).astype(np.float32)


def faster(x, speed):
    """Higher by as much: another voice."""
    return resample(x, 100, round(100 * speed))


def unit(voiceprints):
    return voiceprints / np.linalg.norm(voiceprints, axis=-1, keepdims=True)


def normalised(raw):
    rows = np.maximum(raw, np.log(np.finfo(np.float32).eps))
    return rows - rows.mean(axis=0)


class Speaker:
    """The speaker model: samples in, voiceprint out. Helps narrow recordings: those of 8 kHz by the network `narrow`,
    those of 11 kHz by `guess`, which is `bandwidth.load()`."""

    def __init__(self, model, narrow=None, guess=None):
        self.guess = guess
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.full, self.narrow = (path and onnxruntime.InferenceSession(str(path), options) for path in (model, narrow))
        self.fbank = knf.FbankOptions()
        self.fbank.frame_opts.dither = 0.0
        self.fbank.mel_opts.num_bins = 80
        self.fbank.mel_opts.high_freq = 8000
        # Four times the power of what 16 bits leave, per frame.
        noise = self.raw(np.random.default_rng(0).standard_normal(30 * RATE) * 2.0**-15 / 12**0.5)
        self.quiet = 4 * np.exp(noise).mean(axis=0)

    def raw(self, samples):
        """Features before they are floored and their mean is subtracted."""
        fbank = knf.OnlineFbank(self.fbank)
        fbank.accept_waveform(RATE, (samples * 32768).tolist())  # far above the library's own floor
        fbank.input_finished()
        return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)]) - 2 * np.log(np.float32(32768))

    def channel(self, raw):
        return bandwidth.channel(raw, self.quiet)

    def embed(self, samples):
        return self.voiceprint(self.raw(samples))

    def voiceprint(self, raw):
        rows, channel = normalised(raw), self.channel(raw)
        if self.narrow and channel == "8k":
            return run(self.narrow, bandwidth.clear(rows))
        if self.guess and channel == bandwidth.GUESSED:
            filling, correction = self.guess
            return bandwidth.correct(correction, run(self.full, bandwidth.fill(filling, rows)))
        return run(self.full, rows)


def run(session, rows):
    return session.run(None, {session.get_inputs()[0].name: rows[None]})[0][0]


class Vad:
    """silero VAD, sequence export: which samples are speech."""

    def __init__(self, model):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options)

    def mask(self, samples):
        padded = np.pad(samples, (64, -len(samples) % 512))
        rows = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512]
        zero = np.zeros((1, 1, 128), np.float32)
        speech = self.session.run(["speech_probs"], {"input": rows, "h": zero, "c": zero})[0]
        return np.repeat(speech > 0.5, 512)[: len(samples)]


def is_narrow(samples, said):
    """Whether speech ends below 5.5 kHz: no band of 250 Hz above is within 60 dB of the strongest."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, 512)[::512]
    spoken = windows[said[: len(windows) * 512 : 512][: len(windows)]]
    if not len(spoken):
        return False
    power = (np.abs(np.fft.rfft(spoken * np.hanning(512))) ** 2).mean(axis=0)[:256].reshape(32, 8).mean(axis=1)
    return not (power[22:] > power.max() * 1e-6).any()


def telephone(x, _):
    """300 to 3400 Hz, 8 kHz, G.711 mu-law."""
    return coded(band(x, 300, 3400), 8000, "WAV", "ULAW")


def mobile(x, _):
    """8 kHz, GSM 06.10 full rate."""
    return coded(band(x, 200, 3400), 8000, "WAV", "GSM610")


def messenger(x, _):
    """Opus, lowest quality that libsndfile offers."""
    return coded(x, RATE, "OGG", "OPUS", compression_level=1.0)


def room(x, rng):
    """An exponentially decaying room response, RT60 0.3 to 0.7 s, direct sound as strong as the rest."""
    rt60 = rng.uniform(0.3, 0.7)
    t = np.arange(int(rt60 * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60)
    tail[: int(0.002 * RATE)] = 0
    tail /= np.sqrt((tail**2).sum())
    tail[0] = 1
    return scipy.signal.fftconvolve(x, tail)[: len(x)].astype(np.float32)


def band(x, low, high):
    return scipy.signal.sosfilt(scipy.signal.butter(4, (low, high), "bandpass", fs=RATE, output="sos"), x)


def coded(x, rate, container, codec, **options):
    buffer = io.BytesIO()
    at_rate = resample(x, rate, RATE)
    soundfile.write(buffer, np.clip(at_rate, -1, 1), rate, format=container, subtype=codec, **options)
    buffer.seek(0)
    back, heard = soundfile.read(buffer, dtype="float32")
    back = resample(back, RATE, heard)
    return np.pad(back, (0, max(0, len(x) - len(back))))[: len(x)].astype(np.float32)


def noises(root):
    """The noises of `noisy/`: mixture less clean recording."""
    found = {}
    for path in sorted(Path(root, "noisy").glob("*_0dB.flac")):
        clip, kind, _ = path.stem.rsplit("_", 2)
        found[clip, kind] = read(path) - read(path.with_name(f"{clip}_clean.flac"))
    return found


def noisy(found, snr):
    def mix(x, rng):
        noise = found[sorted(found)[rng.integers(len(found))]]
        start = rng.integers(len(noise))
        noise = np.resize(np.roll(noise, -start), len(x))
        gain = np.sqrt((x**2).mean() / ((noise**2).mean() + 1e-12) / 10 ** (snr / 10))
        return (x + gain * noise).astype(np.float32)

    return mix


def conditions(root):
    found = noises(root)
    if not found:
        return {"clean": lambda x, _: x}
    return {
        "clean": lambda x, _: x,
        "telephone": telephone,
        "mobile": mobile,
        "messenger": messenger,
        "room": room,
        "noise10": noisy(found, 10),
        "noise5": noisy(found, 5),
    }


def clips(root):
    """(name, speaker, set, samples): the voices, and the turns of the meetings that one person has alone; or the clips
    that `models/fetch` brings."""
    index = Path(root, "index.json")
    if index.exists():
        for file in json.loads(index.read_text())["files"]:
            if "speaker" in file:
                yield file["path"], file["speaker"], "package", read(Path(root, file["path"]))
        return
    rows = [line.split("\t") for line in Path(root, "manifest.tsv").read_text().splitlines()[1:]]
    for row in rows:
        if row[1] == "voice":
            yield row[0], row[2], "voices", read(Path(root, row[0]))
    for row in rows:
        if row[1] == "meeting":
            yield from turns(root, row[0], Path(root, row[6]))


def played(root):
    """(name, speaker, set, samples) of Debian's packages under `root`, each unpacked (dpkg -x) into a folder of its name:
    actors who play two fish in Czech and Dutch, figures of a game, and those who explain pictures to children, one in each
    language. Of the figures nobody says who played them: `hedgewars` are known to be the same, not to be different."""
    root = Path(root)
    voices = {}
    for language in ("cs", "nl"):
        for path in root.glob(f"fillets-ng-data-{language}/**/*.ogg"):
            for fish in ("m", "v"):
                if f"-{fish}-" in path.name:
                    voices.setdefault(("fillets", f"{language} {fish}"), []).append(path)
    for path in root.glob("hedgewars-data/**/voices/*/*.ogg"):
        voices.setdefault(("hedgewars", path.parent.name), []).append(path)
    for path in root.glob("tuxpaint-stamps-default/**/*_desc_*.ogg"):
        voices.setdefault(("tuxpaint", path.stem.rsplit("_", 1)[1]), []).append(path)
    for (kind, who), paths in sorted(voices.items()):
        if kind == "tuxpaint" and len(paths) < FEW:
            continue
        paths.sort()
        wanted = PLAYED[kind]
        for i in seed(kind, who).permutation(len(paths)):
            samples = read(paths[i])
            if wanted and RATE <= len(samples) < 15 * RATE:
                wanted -= 1
                yield f"{kind} {who} {paths[i].stem}", f"{kind} {who}", kind, samples


def turns(root, name, rttm):
    samples = read(Path(root, name))
    spans = [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in map(str.split, rttm.read_text().splitlines())]
    for i, (start, end, who) in enumerate(spans):
        others = [s for s in spans if s[2] != who and s[1] > start and s[0] < end]
        start = max([start] + [s[1] for s in others if s[0] <= start])
        end = min([end] + [s[0] for s in others if s[0] > start])
        if end - start >= 1.0 and not any(s[0] < end and s[1] > start for s in others):
            yield f"{name}#{i}", who, "meetings", samples[int(start * RATE) : int(end * RATE)]
