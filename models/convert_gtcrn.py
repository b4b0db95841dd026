"""GTCRN's streaming graph, which takes a frame per run, as a graph that takes many: its weights, written over many frames.

Source of the network: Rong et al. 2024, "GTCRN: a speech enhancement model requiring ultralow computational resources", ICASSP 2024.
Nothing of the network changes; what it remembers of the frames before goes in and comes out.

`spectra` [1, frames, 257, 2] are real and imaginary parts of 512 samples at 16 kHz under the square root of a Hann window, every
256; `voice` is the same of the voice in them. All other inputs are zeros at the beginning, then the outputs `NAME_next` of the run before.

For speed, as sums allow: neighbouring frequencies side by side and the 1 x 1 convolution of them are one convolution of three; a
normalisation goes into the convolution before it; a transposed convolution without stride is a convolution with its filter turned; two
recurrent layers, each on half of the channels, are one with zeros between them.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from graph import Graph, ints, single

METADATA = {
    "comment": "GTCRN speech enhancement, the published streaming graph over many frames",
    "url": "https://github.com/Xiaobin-Rong/gtcrn",
    "licence": "MIT",
    "sample_rate": "16000",
    "fft": "512",
    "hop": "256",
}
FRAMES = [1, "frames", 257, 2]
# Frequencies that the network sees one by one; the 192 above it sees as 64 bands.
LOW = 65
# Frequencies and channels inside.
WIDTH, CHANNELS = 33, 16
DILATIONS = (1, 2, 5)
NORM_EPSILON, LAYER_EPSILON, LEAST_POWER = 1e-5, 1e-8, 1e-12


class Published:
    """The published graph's weights, by name, or in the order of the nodes that use them."""

    def __init__(self, graph: onnx.GraphProto):
        self.weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.weights[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.left = {kind: self.of(graph, kind) for kind in ("Conv", "PRelu", "GRU", "MatMul")}

    def of(self, graph, kind):
        nodes = (node for node in graph.node if node.op_type == kind)
        return [[self.weights[name] for name in node.input[1:4] if name in self.weights] for node in nodes]

    def __getitem__(self, name):
        return self.weights[name]

    def take(self, kind):
        """The weights of the next node of a kind."""
        return self.left[kind].pop(0)

    def norm(self, name):
        scale = self[f"{name}.weight"] / np.sqrt(self[f"{name}.running_var"].astype(np.float64) + NORM_EPSILON)
        return scale, self[f"{name}.bias"] - self[f"{name}.running_mean"] * scale

    def turned(self, convolution: str, norm: str):
        """A transposed convolution without stride and the norm after it, as weight and bias of a convolution."""
        weight, bias = self[f"{convolution}.weight"].astype(np.float64), self[f"{convolution}.bias"]
        if weight.shape[1] > 1:
            weight = weight.swapaxes(0, 1)
        scale, shift = self.norm(norm)
        return single(weight[:, :, ::-1, ::-1] * scale[:, None, None, None]), single(bias * scale + shift)

    def strided(self, convolution: str, norm: str, groups: int):
        """A transposed convolution and the norm after it."""
        weight, bias = self[f"{convolution}.weight"].astype(np.float64), self[f"{convolution}.bias"]
        scale, shift = self.norm(norm)
        by_input = np.repeat(scale.reshape(groups, -1), len(weight) // groups, axis=0)
        return single(weight * by_input[:, :, None, None]), single(bias * scale + shift)


def block_diagonal(first, second, gates=3):
    """Two recurrent layers' matrices [directions, gates * hidden, inputs] as those of one."""
    directions, rows, columns = first.shape
    hidden = rows // gates
    both = np.zeros((directions, gates, 2, hidden, 2, columns), np.float32)
    both[:, :, 0, :, 0] = first.reshape(directions, gates, hidden, columns)
    both[:, :, 1, :, 1] = second.reshape(directions, gates, hidden, columns)
    return both.reshape(directions, rows * 2, columns * 2)


def both_biases(first, second):
    """Biases [directions, 6 * hidden] of two recurrent layers as those of one."""
    halves = (bias.reshape(len(bias), 6, -1) for bias in (first, second))
    return np.concatenate(list(halves), axis=2).reshape(len(first), -1)


class Network(Graph):
    def __init__(self, published: Published):
        super().__init__("gtcrn")
        self.published, self.states = published, {}

    def state(self, name: str, shape: list) -> str:
        self.states[name] = shape
        return name

    def conv(self, x, weights, pads=(0, 0, 0, 0), **attributes):
        weight, bias = weights
        return self.op("Conv", x, weight, bias, kernel_shape=weight.shape[2:], pads=pads, **attributes)

    def prelu(self, x):
        return self.op("PRelu", x, *self.published.take("PRelu"))

    def part(self, x, start, end, axis):
        return self.op("Slice", x, ints(start), ints(end), ints(axis))

    def gru(self, x, weights, state, hidden, direction="forward"):
        """Over `[steps, batch, features]`; gives `[steps, directions, batch, hidden]`. Without a state it starts from zeros."""
        inputs = [x, *(self.constant(array) for array in weights), *(["", state] if state else [])]
        output = f"GRU_{len(self.nodes)}"
        outputs = [output, f"{state}_next"] if state else [output]
        node = onnx.helper.make_node("GRU", inputs, outputs, name=output, hidden_size=hidden, linear_before_reset=1, direction=direction)
        self.nodes.append(node)
        return output

    def attention(self, x, index, bias):
        """Temporal recurrent attention: a gain per channel and frame, from the energy so far."""
        energy = self.op("ReduceMean", self.op("Mul", x, x), axes=[3], keepdims=0)
        steps = self.op("Transpose", energy, perm=[2, 0, 1])
        state = self.state(f"attention{index}", [1, 1, CHANNELS])
        heard = self.op("Squeeze", self.gru(steps, self.published.take("GRU"), state, CHANNELS), ints(1))
        gain = self.op("Add", self.op("MatMul", heard, *self.published.take("MatMul")), bias)
        gain = self.op("Transpose", self.op("Sigmoid", gain), perm=[1, 2, 0])
        return self.op("Mul", x, self.op("Unsqueeze", gain, ints(3)))

    def block(self, x, index, dilation, weights, bias):
        """Half of the channels through a dilated convolution over the past, then shuffled with the other half."""
        first, depth, last = weights
        half = CHANNELS // 2
        heard, other = self.part(x, 0, half, 1), self.part(x, half, CHANNELS, 1)
        # The published weight takes each channel's three neighbours one after the other.
        neighbours = first[0].reshape(CHANNELS, half, 1, 3)
        h = self.prelu(self.conv(heard, (neighbours, first[1]), (0, 1, 0, 1)))
        past = self.state(f"past{index}", [1, CHANNELS, 2 * dilation, WIDTH])
        h = self.op("Concat", past, h, axis=2)
        self.op("Slice", h, ints(-2 * dilation), ints(2**31 - 1), ints(2), output=f"{past}_next")
        h = self.prelu(self.conv(h, depth, (0, 1, 0, 1), group=CHANNELS, dilations=[dilation, 1]))
        h = self.attention(self.conv(h, last), index, bias)
        both = self.op("Concat", self.op("Unsqueeze", h, ints(2)), self.op("Unsqueeze", other, ints(2)), axis=2)
        return self.op("Reshape", both, ints(1, CHANNELS, -1, WIDTH))

    def dual_path(self, x, name):
        """A recurrent layer over frequencies, then one over frames, on `[1, frames, WIDTH, CHANNELS]`."""

        def grouped():
            first, second = (self.published.take("GRU") for _ in range(2))
            matrices = (block_diagonal(a, b) for a, b in zip(first[:2], second[:2], strict=True))
            return [*matrices, both_biases(first[2], second[2])]

        def normed(y, which, matrix):
            y = self.op("Add", self.op("MatMul", y, matrix), self.published[f"{name}.{which}_fc.bias"])
            y = self.op("Reshape", y, ints(1, -1, WIDTH, CHANNELS))
            weights = (self.published[f"{name}.{which}_ln.{part}"] for part in ("weight", "bias"))
            return self.op("LayerNormalization", y, *weights, axis=-2, epsilon=LAYER_EPSILON)

        half, quarter = CHANNELS // 2, CHANNELS // 4
        rows = self.op("Reshape", x, ints(-1, WIDTH, CHANNELS))
        y = self.gru(self.op("Transpose", rows, perm=[1, 0, 2]), grouped(), None, half, "bidirectional")
        y = self.op("Reshape", self.op("Transpose", y, perm=[2, 0, 1, 3]), ints(-1, WIDTH, CHANNELS))
        (matrix,) = self.published.take("MatMul")
        # Published: group, direction; here: direction, group.
        matrix = matrix.reshape(2, 2, quarter, CHANNELS).swapaxes(0, 1).reshape(CHANNELS, CHANNELS)
        x = self.op("Add", x, normed(y, "intra", matrix))
        state = self.state(f"{name}_state", [1, WIDTH, CHANNELS])
        y = self.gru(self.op("Reshape", x, ints(-1, WIDTH, CHANNELS)), grouped(), state, CHANNELS)
        return self.op("Add", x, normed(self.op("Squeeze", y, ints(1)), "inter", *self.published.take("MatMul")))

    def build(self):
        published = self.published
        parts = self.op("Transpose", "spectra", perm=[0, 3, 1, 2])
        real, imaginary = (self.part(parts, i, i + 1, 1) for i in range(2))
        power = self.op("Add", self.op("Mul", real, real), self.op("Mul", imaginary, imaginary))
        magnitude = self.op("Sqrt", self.op("Add", power, np.float32(LEAST_POWER)))
        x = self.op("Concat", magnitude, parts, axis=1)
        bands = self.op("MatMul", self.part(x, LOW, 257, 3), *published.take("MatMul"))
        x = self.op("Concat", self.part(x, 0, LOW, 3), bands, axis=3)
        padded = self.op("Pad", x, ints(0, 0, 0, 1, 0, 0, 0, 1))
        sides = [self.op("Unsqueeze", self.part(padded, k, k + 129, 3), ints(2)) for k in range(3)]
        x = self.op("Reshape", self.op("Concat", *sides, axis=2), ints(1, 9, -1, 129))

        skips = []
        for groups in (1, 2):
            x = self.prelu(self.conv(x, published.take("Conv"), (0, 2, 0, 2), strides=[1, 2], group=groups))
            skips.append(x)
        for i, dilation in enumerate(DILATIONS):
            weights = [published.take("Conv") for _ in range(3)]
            x = self.block(x, i, dilation, weights, published[f"encoder.en_convs.{i + 2}.tra.att_fc.bias"])
            skips.append(x)

        x = self.op("Transpose", x, perm=[0, 2, 3, 1])
        for name in ("dpgrnn1", "dpgrnn2"):
            x = self.dual_path(x, name)
        x = self.op("Transpose", x, perm=[0, 3, 1, 2])

        for i, dilation in enumerate(reversed(DILATIONS)):
            prefix = f"decoder.de_convs.{i}"
            pairs = (("point_conv1", "point_bn1"), ("depth_conv.ConvTranspose2d", "depth_bn"), ("point_conv2", "point_bn2"))
            weights = [published.turned(f"{prefix}.{conv}", f"{prefix}.{norm}") for conv, norm in pairs]
            x = self.block(self.op("Add", x, skips.pop()), 3 + i, dilation, weights, published[f"{prefix}.tra.att_fc.bias"])
        for i, groups in ((3, 2), (4, 1)):
            prefix = f"decoder.de_convs.{i}"
            weight, bias = published.strided(f"{prefix}.conv", f"{prefix}.bn", groups)
            x = self.op("Add", x, skips.pop())
            x = self.op("ConvTranspose", x, weight, bias, kernel_shape=[1, 5], pads=[0, 2, 0, 2], strides=[1, 2], group=groups)
            x = self.prelu(x) if i == 3 else self.op("Tanh", x)
        high = self.op("MatMul", self.part(x, LOW, 129, 3), *published.take("MatMul"))
        mask = self.op("Concat", self.part(x, 0, LOW, 3), high, axis=3)
        gain, turn = (self.part(mask, i, i + 1, 1) for i in range(2))
        voice = [
            self.op("Sub", self.op("Mul", real, gain), self.op("Mul", imaginary, turn)),
            self.op("Add", self.op("Mul", imaginary, gain), self.op("Mul", real, turn)),
        ]
        self.op("Transpose", self.op("Concat", *voice, axis=1), perm=[0, 2, 3, 1], output="voice")
        assert not any(self.published.left.values()), "weights that nothing took"


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `gtcrn.onnx` into the folder `out`."""
    network = Network(Published(onnx.load(members["gtcrn_simple.onnx"]).graph))
    network.build()
    states = network.states
    next_states = {f"{name}_next": shape for name, shape in states.items()}
    network.save(out / "gtcrn.onnx", {"spectra": FRAMES, **states}, {"voice": FRAMES, **next_states}, METADATA)
