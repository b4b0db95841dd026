"""The speaker segmentation of pyannote 3.0 from its PyTorch weights to ONNX.

Source of the architecture: Bredin & Laurent 2021, "End-to-end speaker segmentation for overlap-aware resegmentation",
and Plaquet & Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization" (pyannote.audio,
PyanNet). The first layer is SincNet (Ravanelli & Bengio 2018) with the even and odd filters of Pariente et al. 2020.

`samples` [N, 1, S] are 16 kHz in [-1, 1], trained on S = 160000; `log_probabilities` [N, frames, 7] are of nobody, speaker
1, 2, 3, and the pairs 1+2, 1+3, 2+3. A frame sees 991 samples, the next one begins 270 later: 10 s give 589 frames.
"""

import math
from pathlib import Path

import numpy as np
import torch_weights
from graph import Graph, ints, single

SAMPLE_RATE = 16000
MIN_LOW_HZ = MIN_BAND_HZ = 50
STRIDE = 10
HIDDEN = 128
SLOPE = 0.01
# Classes that the checkpoint mentions besides its weights; none of their code is run.
OPAQUE = frozenset(
    {"torch.torch_version.TorchVersion"}
    | {f"pyannote.audio.core.task.{name}" for name in ("Specifications", "Problem", "Resolution")}
)
METADATA = {
    "framework": "pyannote.audio",
    "comment": "speaker segmentation 3.0 (powerset); converted from the published PyTorch weights",
    "url": "https://huggingface.co/pyannote/segmentation-3.0",
    "licence": "MIT",
    "sample_rate": "16000",
    "window_size": "160000",
    "receptive_field_size": "991",
    "receptive_field_shift": "270",
    "num_speakers": "3",
    "powerset_max_classes": "2",
    "num_classes": "7",
}


def sinc_filters(low, band, half_window):
    """80 band-pass filters [80, 1, 1, 251]: 40 even ones, then 40 odd ones, of the learnt bands."""
    half = len(half_window)
    time = [2 * math.pi * (i - half) / SAMPLE_RATE for i in range(half)]
    even, odd = [], []
    for low_hz, band_hz in zip(np.abs(low[:, 0].astype(np.float64)), np.abs(band[:, 0].astype(np.float64)), strict=True):
        start = MIN_LOW_HZ + low_hz
        end = min(max(start + MIN_BAND_HZ + band_hz, MIN_LOW_HZ), SAMPLE_RATE / 2)
        width = 2 * (end - start)
        pairs = list(zip(time, half_window.astype(np.float64), strict=True))
        cosine = [(math.sin(end * t) - math.sin(start * t)) / (t / 2) * w / width for t, w in pairs]
        sine = [(math.cos(start * t) - math.cos(end * t)) / (t / 2) * w / width for t, w in pairs]
        even.append([*cosine, 1.0, *reversed(cosine)])
        odd.append([*sine, 0.0, *(-value for value in reversed(sine))])
    return single(even + odd)[:, None, None, :]


def sinc_net(g: Graph, weights) -> str:
    """Three rounds of convolution, pooling and normalisation: [N, 60, 1, frames]."""

    def normalised(x, name):
        return g.op("InstanceNormalization", x, weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon=1e-5)

    band = "sincnet.conv1d.0.filterbank."
    filters = sinc_filters(weights[band + "low_hz_"], weights[band + "band_hz_"], weights[band + "window_"])
    x = g.op("Unsqueeze", normalised("samples", "sincnet.wav_norm1d"), ints(2))
    x = g.op("Abs", g.op("Conv", x, filters, kernel_shape=list(filters.shape[2:]), strides=[1, STRIDE]))
    for layer in range(3):
        if layer:
            weight = weights[f"sincnet.conv1d.{layer}.weight"][:, :, None, :]
            x = g.op("Conv", x, weight, weights[f"sincnet.conv1d.{layer}.bias"], kernel_shape=[1, 5])
        x = normalised(g.op("MaxPool", x, kernel_shape=[1, 3], strides=[1, 3]), f"sincnet.norm1d.{layer}")
        x = g.op("LeakyRelu", x, alpha=SLOPE)
    return x


def gates(array):
    """From PyTorch's order of the gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    i, f, c, o = np.split(array, 4)
    return np.concatenate([i, o, f, c])


def lstm_layer(g: Graph, weights, x: str, layer: int) -> str:
    """One bidirectional layer: [frames, N, features] to [frames, N, 256]."""

    def both(kind):
        return [gates(weights[f"lstm.{kind}_l{layer}{direction}"]) for direction in ("", "_reverse")]

    biases = np.concatenate([np.stack(both("bias_ih")), np.stack(both("bias_hh"))], axis=1)
    y = g.lstm(x, np.stack(both("weight_ih")), np.stack(both("weight_hh")), biases, HIDDEN)
    return g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), ints(0, 0, 2 * HIDDEN))


def linear(g: Graph, weights, x: str, name: str) -> str:
    return g.op("Add", g.op("MatMul", x, weights[f"{name}.weight"].T), weights[f"{name}.bias"])


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `pyannote_segmentation_3.onnx` into the folder `out`."""
    weights = torch_weights.load(members["pytorch_model.bin"], OPAQUE)["state_dict"]
    g = Graph("pyannote_segmentation")
    x = g.op("Transpose", g.op("Squeeze", sinc_net(g, weights), ints(2)), perm=[2, 0, 1])
    for layer in range(4):
        x = lstm_layer(g, weights, x, layer)
    x = g.op("Transpose", x, perm=[1, 0, 2])
    for layer in range(2):
        x = g.op("LeakyRelu", linear(g, weights, x, f"linear.{layer}"), alpha=SLOPE)
    g.op("LogSoftmax", linear(g, weights, x, "classifier"), axis=-1, output="log_probabilities")
    shapes = {"samples": ["N", 1, "S"]}, {"log_probabilities": ["N", "frames", 7]}
    g.save(out / "pyannote_segmentation_3.onnx", *shapes, METADATA)
