"""DeepFilterNet3's three published graphs as one that can be run piece by piece: what it remembers goes in and comes out.

Source of the network: Schröter et al. 2023, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", Interspeech 2023.
Nothing of the network changes. Where the published graphs pad the past with zeros, the frames of the run before stand here, and
the recurrent layers go on from their last state.

Of 960 samples at 48 kHz, every 480: `erb` [1, 1, frames, 32] are the normalised levels of 32 bands, `spec` [1, 2, frames, 96] the real and
imaginary parts of the first 96 frequencies, normalised. `mask` [1, 1, frames, 32] is the gain of each band, `coefs` [1, frames, 96, 10]
are the filters, both of the frame two before. The other inputs are zeros at the beginning, then the outputs `NAME_next` of the run before.
"""

import tarfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PARTS = ("enc", "erb_dec", "df_dec")
# What the parts give each other has the same name in all; `m` and the rest are renamed.
SHARED = {"e0", "e1", "e2", "e3", "emb", "c0"}
NAMES = {"enc.feat_erb": "erb", "enc.feat_spec": "spec", "erb_dec.m": "mask", "df_dec.coefs": "coefs"}
INPUTS = {"erb": [1, 1, "frames", 32], "spec": [1, 2, "frames", 96]}
OUTPUTS = {"mask": [1, 1, "frames", 32], "coefs": [1, "frames", 96, 10]}
# Frames before the first that a convolution sees.
PASTS = {"erb": [1, 1, 2, 32], "spec": [1, 2, 2, 96], "c0": [1, 64, 4, 96]}
HIDDEN = [1, 1, 256]
METADATA = {
    "comment": "DeepFilterNet3 speech enhancement, the published graphs as one with its states as inputs and outputs",
    "url": "https://github.com/Rikorose/DeepFilterNet",
    "licence": "MIT OR Apache-2.0",
    "sample_rate": "48000",
    "fft": "960",
    "hop": "480",
}


def load(archive: Path):
    """The nodes and weights of all parts, their names made unique."""
    nodes, weights = [], []
    with tarfile.open(archive) as members:
        for part in PARTS:
            graph = onnx.load_from_string(members.extractfile(f"tmp/export/{part}.onnx").read()).graph

            def rename(name, part=part):
                return name if not name or name in SHARED else NAMES.get(f"{part}.{name}", f"{part}.{name}")

            for node in graph.node:
                node.name = rename(node.name)
                node.input[:] = [rename(name) for name in node.input]
                node.output[:] = [rename(name) for name in node.output]
                nodes.append(node)
            for weight in graph.initializer:
                weight.name = rename(weight.name)
                weights.append(weight)
    return nodes, weights


def with_states(nodes):
    """Puts the states in place of zeros. Returns nodes and the states' shapes."""
    states, changed = {}, []

    def ints(numbers):
        name = f"ints_{len(changed)}"
        changed.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(numbers, np.int64), name)))
        return name

    for node in nodes:
        if node.op_type == "Pad":
            name = node.input[0]
            past = f"{name}_past"
            states[past] = PASTS[name]
            changed.append(helper.make_node("Concat", [past, name], [node.output[0]], axis=2))
            length = PASTS[name][2]
            bounds = [ints([number]) for number in (-length, 2**31 - 1, 2)]
            changed.append(helper.make_node("Slice", [node.output[0], *bounds], [f"{past}_next"]))
        elif node.op_type == "GRU":
            state = f"h{sum(name.startswith('h') for name in states)}"
            states[state] = HIDDEN
            node.input[5] = state
            node.output[1] = f"{state}_next"
            changed.append(node)
        else:
            changed.append(node)
    return changed, states


def needed(nodes, outputs):
    """The nodes that the outputs depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1], wanted


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `deepfilternet3.onnx` into the folder `out`."""
    nodes, weights = load(members["DeepFilterNet3_onnx.tar.gz"])
    nodes, states = with_states(nodes)
    next_states = {f"{name}_next": shape for name, shape in states.items()}
    nodes, wanted = needed(nodes, [*OUTPUTS, *next_states])
    floats = lambda shapes: [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]  # noqa: E731
    graph = helper.make_graph(
        nodes,
        "deepfilternet3",
        floats({**INPUTS, **states}),
        floats({**OUTPUTS, **next_states}),
        [weight for weight in weights if weight.name in wanted],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7, producer_name="ai_audio")
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model)
    (out / "deepfilternet3.onnx").write_bytes(model.SerializeToString(deterministic=True))
