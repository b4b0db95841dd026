"""CAM++ from its PyTorch weights to ONNX.

Source of the architecture: Wang et al. 2023, "CAM++: A Fast and Efficient Network for Speaker Verification Using
Context-Aware Masking" (https://arxiv.org/abs/2303.00332), as published in 3D-Speaker.

`feats` [N, T, 80] are Kaldi log-mel features less their mean over time; `embedding` is [N, 192], not normalised.
"""

from pathlib import Path

import numpy as np
import torch_weights
from graph import Graph, batch_norm, folded, ints, single
from onnx import TensorProto

BLOCKS = [(12, 1), (24, 2), (16, 2)]  # layers and dilation
SEGMENT = 100  # frames that share a context
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


def normalised(g: Graph, weights, x: str, prefix: str) -> str:
    scale, shift = (single(v)[:, None] for v in batch_norm(weights, prefix))
    return g.op("Relu", g.op("Add", g.op("Mul", x, scale), shift))


def dense_layer(g: Graph, weights, x: str, prefix: str, dilation: int, segment_of_frame: str) -> str:
    """32 more channels from all before them, masked by the context of the whole and of each segment."""
    y = normalised(g, weights, x, prefix + "nonlinear1.batchnorm")
    y = g.op("Relu", g.op("Conv", y, *folded(weights, prefix + "linear1", prefix + "nonlinear2.batchnorm"), kernel_shape=[1]))
    cam = prefix + "cam_layer."
    local = g.op("Conv", y, weights[cam + "linear_local.weight"], kernel_shape=[3], pads=[dilation] * 2, dilations=[dilation])
    mask = g.op("Add", segment_means(g, y), g.op("ReduceMean", y, axes=[2], keepdims=1))
    mask = g.op("Relu", g.op("Conv", mask, weights[cam + "linear1.weight"], weights[cam + "linear1.bias"], kernel_shape=[1]))
    mask = g.op("Sigmoid", g.op("Conv", mask, weights[cam + "linear2.weight"], weights[cam + "linear2.bias"], kernel_shape=[1]))
    return g.op("Concat", x, g.op("Mul", local, g.op("Gather", mask, segment_of_frame, axis=2)), axis=1)


def segment_means(g: Graph, x: str) -> str:
    """Mean over each 100 frames; the last segment may be shorter and is divided by what it has.

    No Pad node stands before it and the count excludes padding: ONNX Runtime 1.22 to 1.27 fuse a Pad wrongly.
    """
    return g.op("AveragePool", x, kernel_shape=[SEGMENT], strides=[SEGMENT], ceil_mode=1, count_include_pad=0)


def statistics(g: Graph, x: str, frames: str) -> str:
    """Mean and unbiased standard deviation over time; a single frame deviates by 0."""
    mean = g.op("ReduceMean", x, axes=[2], keepdims=1)
    deviation = g.op("Sub", x, mean)
    total = g.op("ReduceSum", g.op("Mul", deviation, deviation), ints(2), keepdims=0)
    count = g.op("Max", g.op("Cast", g.op("Sub", frames, ints(1)), to=TensorProto.FLOAT), np.ones(1, np.float32))
    return g.op("Concat", g.op("Squeeze", mean, ints(2)), g.op("Sqrt", g.op("Div", total, count)), axis=1)


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `campplus_zh_en.onnx` into the folder `out`."""
    weights = torch_weights.load(members["campplus_cn_en_common.pt"])
    g = Graph("campplus")
    x = g.op("Unsqueeze", g.op("Transpose", "feats", perm=[0, 2, 1]), ints(1))
    x = g.op("Reshape", residual_head(g, weights, x), ints(0, 320, -1))
    tdnn = folded(weights, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
    x = g.op("Relu", g.op("Conv", x, *tdnn, kernel_shape=[5], strides=[2], pads=[2, 2]))
    frames = g.op("Shape", x, start=2)
    every = g.op("Range", np.int64(0), g.op("Squeeze", frames), np.int64(1))
    segment_of_frame = g.op("Div", every, np.int64(SEGMENT))
    for block, (layers, dilation) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            x = dense_layer(g, weights, x, f"xvector.block{block}.tdnnd{layer}.", dilation, segment_of_frame)
        x = normalised(g, weights, x, f"xvector.transit{block}.nonlinear.batchnorm")
        x = g.op("Conv", x, weights[f"xvector.transit{block}.linear.weight"], kernel_shape=[1])
    x = normalised(g, weights, x, "xvector.out_nonlinear.batchnorm")
    weight, bias = folded(weights, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")
    g.op("Gemm", statistics(g, x, frames), weight[:, :, 0], bias, transB=1, output="embedding")
    g.save(out / "campplus_zh_en.onnx", {"feats": ["N", "T", 80]}, {"embedding": ["N", 192]}, METADATA)
