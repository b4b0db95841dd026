"""Builds ONNX graphs: nodes and weights collected in order, written without anything that changes from run to run."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
BN_EPSILON = 1e-5


class Graph:
    """Collects nodes and weights; a method returns the name of the value it made."""

    def __init__(self, name: str):
        self.name, self.nodes, self.weights, self.shapes = name, [], {}, {}

    def constant(self, array) -> str:
        """A weight; equal arrays are kept once."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.weights:
            self.weights[key] = numpy_helper.from_array(array, f"weight_{len(self.weights)}")
        return self.weights[key].name

    def change(self, changes: dict):
        """Adds to weights: name to array."""
        for key, weight in self.weights.items():
            if weight.name in changes:
                self.weights[key] = numpy_helper.from_array(numpy_helper.to_array(weight) + changes[weight.name], weight.name)

    def op(self, kind: str, *inputs, output: str | None = None, shape: list | None = None, **attributes) -> str:
        """A node with one output. Inputs are names of values, or arrays.

        `shape` is for what cannot be inferred, with names for lengths that vary. ONNX Runtime plans memory by it: without,
        it tries each value's buffer for all that follow, which takes the square of their number.
        """
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], name=output, **attributes))
        if shape:
            self.shapes[output] = shape
        return output

    def lstm(self, x: str, weights, recurrent, biases, hidden: int) -> str:
        """A bidirectional LSTM over `[time, batch, features]`; its output is `[time, 2, batch, hidden]`."""
        inputs = [x] + [self.constant(array) for array in (weights, recurrent, biases)]
        output = f"LSTM_{len(self.nodes)}"
        self.nodes.append(helper.make_node("LSTM", inputs, [output], name=output, hidden_size=hidden, direction="bidirectional"))
        return output

    def save(self, path: Path, inputs: dict, outputs: dict, metadata: dict):
        """Writes the model. Inputs and outputs are float32: name to shape. Metadata: name to text."""
        graph = helper.make_graph(self.nodes, self.name, values(inputs), values(outputs), list(self.weights.values()), value_info=values(self.shapes))
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="ai_audio")
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))


def values(shapes: dict):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


def ints(*numbers):
    return np.array(numbers, np.int64)


def batch_norm(weights: dict, prefix: str):
    """An inference-time batch norm as `scale · x + shift`, in float64."""
    mean, variance = (weights[f"{prefix}.running_{name}"].astype(np.float64) for name in ("mean", "var"))
    scale = weights.get(f"{prefix}.weight", np.ones(1, np.float32)).astype(np.float64) / np.sqrt(variance + BN_EPSILON)
    return scale, weights.get(f"{prefix}.bias", np.zeros(1, np.float32)).astype(np.float64) - mean * scale


def folded(weights: dict, convolution: str, norm: str):
    """Weight and bias of a convolution (without bias of its own) and the batch norm after it, as one convolution."""
    weight = weights[f"{convolution}.weight"].astype(np.float64)
    scale, shift = batch_norm(weights, norm)
    return single(weight * scale.reshape(-1, *[1] * (weight.ndim - 1))), single(shift)


def single(array):
    return np.asarray(array).astype(np.float32)
