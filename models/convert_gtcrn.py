"""GTCRN's streaming graph, one frame per run, as one that takes many: the published graph becomes the body of a Scan.

Source of the network: Rong et al. 2024, "GTCRN: a speech enhancement model requiring ultralow computational resources",
ICASSP 2024. Nothing of the network changes; its states are carried from frame to frame inside the graph.

`spectra` [1, 257, frames, 2] are real and imaginary parts of 512 samples at 16 kHz under the square root of a Hann window, every
256; `voice` is the same of the voice in them. `conv`, `tra` and `inter` are zeros at the beginning, then `conv_next`, `tra_next` and
`inter_next` of the run before.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

STATES = {"conv": [2, 1, 16, 16, 33], "tra": [2, 3, 1, 1, 16], "inter": [2, 1, 33, 16]}
FRAME, FRAMES = [1, 257, 2], [1, 257, "frames", 2]
METADATA = {
    "comment": "GTCRN speech enhancement, the published streaming graph in a Scan over frames",
    "url": "https://github.com/Xiaobin-Rong/gtcrn",
    "licence": "MIT",
    "sample_rate": "16000",
    "fft": "512",
    "hop": "256",
}


def floats(shapes: dict):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


def body(published: onnx.GraphProto) -> onnx.GraphProto:
    """The published graph, its frame a slice that Scan takes out of all."""
    nodes = [
        helper.make_node("Unsqueeze", ["frame"], ["mix"], axes=[2]),
        *published.node,
        helper.make_node("Squeeze", ["enh"], ["frame_voice"], axes=[2]),
    ]
    inputs = {**{f"{name}_cache": shape for name, shape in STATES.items()}, "frame": FRAME}
    outputs = {**{f"{name}_cache_out": shape for name, shape in STATES.items()}, "frame_voice": FRAME}
    return helper.make_graph(nodes, "frame", floats(inputs), floats(outputs), list(published.initializer))


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `gtcrn.onnx` into the folder `out`."""
    published = onnx.load(members["gtcrn_simple.onnx"])
    states = {f"{name}_next": shape for name, shape in STATES.items()}
    scan = helper.make_node(
        "Scan",
        [*STATES, "spectra"],
        [*states, "voice"],
        body=body(published.graph),
        num_scan_inputs=1,
        scan_input_axes=[2],
        scan_output_axes=[2],
    )
    graph = helper.make_graph([scan], "gtcrn", floats({"spectra": FRAMES, **STATES}), floats({"voice": FRAMES, **states}))
    model = helper.make_model(graph, opset_imports=published.opset_import, ir_version=published.ir_version, producer_name="ai_audio")
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model)
    (out / "gtcrn.onnx").write_bytes(model.SerializeToString(deterministic=True))
