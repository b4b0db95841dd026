"""CAM++ from its PyTorch weights to ONNX.

Source of the architecture: Wang et al. 2023, "CAM++: A Fast and Efficient Network for Speaker Verification Using
Context-Aware Masking" (https://arxiv.org/abs/2303.00332), as published in 3D-Speaker.

`feats` [N, T, 80] are Kaldi log-mel features less their mean over time; `embedding` is [N, 192], not normalised.
"""

from pathlib import Path

import numpy as np
import torch_weights
from graph import BN_EPSILON, Graph, folded, ints, single
from onnx import TensorProto

BLOCKS = [(12, 1), (24, 2), (16, 2)]  # layers and dilation
GROWTH = 32  # channels that a layer adds
SEGMENT = 100  # frames that share a context
NARROW = Path(__file__).with_name("campplus_narrow.npz")
STEP = ".step"  # of a weight's rows
METADATA = {
    "framework": "3d-speaker",
    "comment": "CAM++ zh-en common, 192 dimensions; converted from the published PyTorch weights",
    "url": "https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
    "licence": "Apache-2.0",
    "language": "zh,en",
    "sample_rate": "16000",
    "output_dim": "192",
    "feature_type": "kaldi fbank",
    "feature_dim": "80",
    "feature_options": "window povey 25 ms, shift 10 ms, snip_edges, dither 0, preemphasis 0.97, 20-8000 Hz, no energy",
    "feature_normalize_type": "global-mean",
    "normalize_samples": "1",
}


def residual_head(g: Graph, weights, x: str) -> str:
    """2-D convolutions over [N, 1, 80, T]: [N, 32, 10, T]."""

    def convolve(x, name, norm, stride=1, size=3):
        weight, bias = folded(weights, name, norm)
        return g.op("Conv", x, weight, bias, kernel_shape=[size, size], strides=[stride, 1], pads=[size // 2] * 4)

    x = g.op("Relu", convolve(x, "head.conv1", "head.bn1"))
    for layer in ("layer1", "layer2"):
        for block in (0, 1):
            prefix, stride = f"head.{layer}.{block}.", 2 - block
            y = g.op("Relu", convolve(x, prefix + "conv1", prefix + "bn1", stride))
            y = convolve(y, prefix + "conv2", prefix + "bn2")
            shortcut = x if block else convolve(x, prefix + "shortcut.0", prefix + "shortcut.1", stride, size=1)
            x = g.op("Relu", g.op("Add", y, shortcut))
    return g.op("Relu", convolve(x, "head.conv2", "head.bn2", stride=2))


def convolve(g: Graph, x: str, weight, bias=None, **attributes) -> str:
    """A convolution over time of [N, C, 1, T], as a 2-D one."""
    attributes.setdefault("kernel_shape", [1, 1])
    return g.op("Conv", x, weight[:, :, None, :], *([] if bias is None else [bias]), shape=over_time(len(weight)), **attributes)


def over_time(channels: int) -> list:
    """The shape of everything after the first convolution over time, which halves the frames."""
    return ["N", channels, 1, "H"]


def normalised(g: Graph, weights, x: str, prefix: str) -> str:
    norm = [weights[f"{prefix}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")]
    shape = over_time(len(norm[0]))
    return g.op("Relu", g.op("BatchNormalization", x, *norm, epsilon=BN_EPSILON, shape=shape), shape=shape)


class Segments:
    """Means over segments of 100 frames, the last as long as it is, and back: as products with two small matrices.

    The usual AveragePool with ceil_mode is avoided: behind a Pad, ONNX Runtime 1.22 to 1.27 divide a partial segment by
    100. The matrices have frames x segments elements, which costs less than pooling up to some ten minutes of audio.
    """

    def __init__(self, g: Graph, frames: str):
        def count(end):
            return g.op("Range", np.int64(0), g.op("Squeeze", end), np.int64(1))

        segment_of_frame = g.op("Div", count(frames), np.int64(SEGMENT))
        segments = count(g.op("Div", g.op("Add", frames, ints(SEGMENT - 1)), ints(SEGMENT)))
        equal = g.op("Equal", g.op("Unsqueeze", segments, ints(1)), g.op("Unsqueeze", segment_of_frame, ints(0)))
        self.spread = g.op("Cast", equal, to=TensorProto.FLOAT)  # [segments, frames]: 1 where the frame is in the segment
        segment_mean = g.op("Div", self.spread, g.op("ReduceSum", self.spread, ints(1), keepdims=1))
        whole_mean = g.op("Reciprocal", g.op("Cast", frames, to=TensorProto.FLOAT))
        # [frames, segments]: mean of the segment plus mean of the whole, CAM++'s context
        self.context = g.op("Transpose", g.op("Add", segment_mean, whole_mean), perm=[1, 0])


def dense_layer(g: Graph, weights, x: str, prefix: str, dilation: int, segments: Segments) -> str:
    """`GROWTH` more channels from all before them, masked by the context of the whole and of each segment.

    The mask depends on the segment alone, so it is computed once per segment and then spread over the frames.
    """
    cam = prefix + "cam_layer."
    channels = len(weights[prefix + "nonlinear1.batchnorm.weight"])
    y = normalised(g, weights, x, prefix + "nonlinear1.batchnorm")
    weight, bias = folded(weights, prefix + "linear1", prefix + "nonlinear2.batchnorm")
    width = len(weight)
    y = g.op("Relu", convolve(g, y, weight, bias), shape=over_time(width))
    shape = {"kernel_shape": [1, 3], "pads": [0, dilation, 0, dilation], "dilations": [1, dilation]}
    local = convolve(g, y, weights[cam + "linear_local.weight"], **shape)
    mask = g.op("MatMul", g.op("Squeeze", y, ints(2), shape=["N", width, "H"]), segments.context, shape=["N", width, "S"])
    for layer, activation in (("linear1", "Relu"), ("linear2", "Sigmoid")):
        weight, bias = (weights[f"{cam}{layer}.{name}"] for name in ("weight", "bias"))
        shape = ["N", len(weight), "S"]
        mask = g.op(activation, g.op("Conv", mask, weight, bias, kernel_shape=[1], shape=shape), shape=shape)
    mask = g.op("Unsqueeze", mask, ints(2), shape=["N", GROWTH, 1, "S"])
    masked = g.op("Mul", local, g.op("MatMul", mask, segments.spread, shape=over_time(GROWTH)), shape=over_time(GROWTH))
    return g.op("Concat", x, blocked(g, masked, GROWTH), axis=1, shape=over_time(channels + GROWTH))


def blocked(g: Graph, x: str, channels: int) -> str:
    """Multiplies by 1, in a convolution: ONNX Runtime keeps its outputs, and then all of the block, in its fast layout."""
    return g.op("Conv", x, np.ones((channels, 1, 1, 1), np.float32), kernel_shape=[1, 1], group=channels, shape=over_time(channels))


def statistics(g: Graph, x: str, frames: str) -> str:
    """Mean and unbiased standard deviation over time; a single frame deviates by 0."""
    mean = g.op("ReduceMean", x, axes=[2], keepdims=1)
    deviation = g.op("Sub", x, mean)
    total = g.op("ReduceSum", g.op("Mul", deviation, deviation), ints(2), keepdims=0)
    count = g.op("Max", g.op("Cast", g.op("Sub", frames, ints(1)), to=TensorProto.FLOAT), np.ones(1, np.float32))
    return g.op("Concat", g.op("Squeeze", mean, ints(2)), g.op("Sqrt", g.op("Div", total, count)), axis=1)


def narrow_changes() -> dict:
    """What makes the network for narrow recordings, by the name of the weight (models/training/distill.py writes it)."""
    with np.load(NARROW) as stored:
        arrays = dict(stored)
    changes = {}
    for name in (name for name in arrays if not name.endswith(STEP)):
        change = single(arrays[name])
        if f"{name}{STEP}" in arrays:
            step = arrays[f"{name}{STEP}"]
            change *= step.reshape(-1, *[1] * (change.ndim - 1))
        changes[name] = change
    return changes


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `campplus_zh_en.onnx` into the folder `out`, and beside it the network for narrow recordings.

    Time is the last of four dimensions throughout: for 2-D convolutions ONNX Runtime has faster kernels than for 1-D.
    """
    weights = torch_weights.load(members["campplus_cn_en_common.pt"])
    g = Graph("campplus")
    x = g.op("Unsqueeze", g.op("Transpose", "feats", perm=[0, 2, 1]), ints(1))
    x = g.op("Reshape", residual_head(g, weights, x), ints(0, 320, 1, -1))
    tdnn = folded(weights, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
    x = g.op("Relu", convolve(g, x, *tdnn, kernel_shape=[1, 5], strides=[1, 2], pads=[0, 2, 0, 2]), shape=over_time(len(tdnn[0])))
    frames = g.op("Shape", x, start=3)
    segments = Segments(g, frames)
    for block, (layers, dilation) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            x = dense_layer(g, weights, x, f"xvector.block{block}.tdnnd{layer}.", dilation, segments)
        x = normalised(g, weights, x, f"xvector.transit{block}.nonlinear.batchnorm")
        x = convolve(g, x, weights[f"xvector.transit{block}.linear.weight"])
    x = g.op("Squeeze", normalised(g, weights, x, "xvector.out_nonlinear.batchnorm"), ints(2))
    weight, bias = folded(weights, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")
    g.op("Gemm", statistics(g, x, frames), weight[:, :, 0], bias, transB=1, output="embedding")
    shapes = {"feats": ["N", "T", 80]}, {"embedding": ["N", 192]}
    g.save(out / "campplus_zh_en.onnx", *shapes, METADATA)
    g.change(narrow_changes())
    comment = METADATA["comment"] + "; taught to hear narrow recordings, whose missing bins are 0"
    g.save(out / "campplus_zh_en_narrow.onnx", *shapes, METADATA | {"comment": comment})
