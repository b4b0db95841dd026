"""Whisper from CTranslate2 weights to ONNX with int8 weights, in the file layout of Hugging Face exports.

Architecture: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision". Files, inputs and
outputs are named as `optimum-cli export onnx` names them; `whisper.md` lists them, our additions, and why they are.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np
from graph import Graph, ints
from onnx import TensorProto, checker, helper, numpy_helper

CT2_TYPES = [np.float32, np.int8, np.int16, np.int32, np.float16]
IR_VERSION, OPSETS = 8, {"": 17, "com.microsoft": 1}
EPSILON = 1e-5
# Weights that share a scale where activations are quantised with it, row by row (MatMulNBits).
BLOCK = 128
# One frame in so many of the silence that fills a window; it counts for all of them in the encoder's attention.
TAIL_STRIDE = 16
# How much of a channel's range moves from activations into weights (Xiao et al. 2022, SmoothQuant).
SMOOTHING = 0.7


def read_ct2(data: bytes) -> dict:
    """The variables of a CTranslate2 model.bin, binary version 6; half precision becomes single."""
    at = 0

    def number(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize("<" + code)
        return value

    def string():
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    version, spec, _revision = number("I"), string(), number("I")
    if (version, spec) != (6, "WhisperSpec"):
        raise ValueError(f"expected WhisperSpec in CTranslate2 binary version 6, found {spec} in version {version}")
    variables = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = CT2_TYPES[number("B")], number("I")
        array = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, at).reshape(shape)
        variables[name] = array.astype(np.float32) if dtype == np.float16 else array
        at += size
    return variables


def layers(variables: dict, side: str) -> int:
    return sum(name.startswith(side) and name.endswith("/ffn/layer_norm/gamma") for name in variables)


def smooth(variables: dict):
    """Moves the range of wide channels out of every normalised activation and into the matrix that reads it.

    Quantisation per tensor then loses less; the product stays the same. A channel's range is taken from the gain and
    the shift of its normalisation, so nothing has to be measured on speech.
    """
    for i in range(layers(variables, "encoder")):
        for part in ("self_attention", "ffn"):
            norm, weight = f"encoder/layer_{i}/{part}/layer_norm/", f"encoder/layer_{i}/{part}/linear_0/weight"
            gamma, beta, matrix = (variables[n] for n in (norm + "gamma", norm + "beta", weight))
            wide, heavy = 3 * np.abs(gamma) + np.abs(beta), np.abs(matrix).max(axis=0)
            exponent = SMOOTHING * np.log2(wide) - (1 - SMOOTHING) * np.log2(heavy)
            # Powers of two: nothing is rounded, and every machine makes the same file.
            scale = np.exp2(np.rint(exponent - exponent.mean()).clip(-4, 4)).astype(np.float32)
            variables |= {norm + "gamma": gamma / scale, norm + "beta": beta / scale, weight: matrix * scale}


def int8(rows):
    """Signed int8 with one scale for each vector along the last axis."""
    scale = np.maximum(np.abs(rows).max(axis=-1), 1e-12) / 127
    return np.rint(rows / scale[..., None]).astype(np.int8), scale.astype(np.float32)


def blocks(matrix):
    """Weights as MatMulNBits takes them: `[rows, blocks, BLOCK]` uint8 around 128, and their scales."""
    quantised, scale = int8(matrix.reshape(matrix.shape[0], -1, BLOCK))
    return (quantised.view(np.uint8) ^ 0x80), scale


class Network(Graph):
    """A graph with Whisper's layers. `variables` are CTranslate2's, whose matrices are `[outputs, inputs]`."""

    def __init__(self, name: str, variables: dict, outer: "Network | None" = None):
        super().__init__(name)
        self.v, self.outer, self.quantised = variables, outer, {}

    def constant(self, array) -> str:
        """Branches keep their weights in the graph around them, where they are prepared once."""
        return self.outer.constant(array) if self.outer else super().constant(array)

    def op(self, kind: str, *inputs, output: str | None = None, **attributes) -> str:
        return super().op(kind, *inputs, output=output or f"{self.name}/{kind}_{len(self.nodes)}", **attributes)

    def fused(self, kind: str, *inputs, output: str | None = None, **attributes) -> str:
        """An operator that ONNX Runtime has beside the standard ones."""
        return self.op(kind, *inputs, output=output, domain="com.microsoft", **attributes)

    def several(self, kind: str, inputs: list, outputs: list, **attributes) -> list:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0] + ":", **attributes))
        return outputs

    def norm(self, x, prefix, output=None):
        gamma, beta = self.v[prefix + "gamma"], self.v[prefix + "beta"]
        return self.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=EPSILON, output=output)

    def linear(self, x, matrix, bias):
        """For many rows at once: activations uint8, one scale for all of them (the fastest product)."""
        if x not in self.quantised:
            names = [f"{x}_{part}" for part in ("uint8", "scale", "zero")]
            self.quantised[x] = self.several("DynamicQuantizeLinear", [x], names)
        quantised, scale, zero = self.quantised[x]
        weights, scales = int8(matrix)
        return self.fused("MatMulIntegerToFloat", quantised, weights.T, scale, scales, zero, "", bias)

    def row_linear(self, x, matrix, bias):
        """For few rows, or rows of very different range: activations int8, a scale for every block of a row."""
        weights, scales = blocks(matrix)
        return self.block_product(x, weights, scales, bias)

    def block_product(self, x, weights, scales, bias=None, output=None):
        size = {"N": weights.shape[0], "K": weights.shape[1] * BLOCK, "bits": 8, "block_size": BLOCK}
        rest = [] if bias is None else ["", "", bias]
        return self.fused("MatMulNBits", x, weights, scales, *rest, output=output, accuracy_level=4, **size)

    def fused_rows(self, prefix, count):
        """Matrix and bias of each of the `count` products that CTranslate2 keeps as one."""
        return zip(np.split(self.v[prefix + "weight"], count), np.split(self.v[prefix + "bias"], count))

    def single(self, prefix):
        return self.v[prefix + "weight"], self.v[prefix + "bias"]

    def finish(self, inputs, outputs):
        return helper.make_graph(self.nodes, self.name, inputs, outputs, list(self.weights.values()))


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


class Encoder:
    """Log-mel features to hidden states. Short windows stay short: see `tail`."""

    def __init__(self, variables):
        self.v = variables
        self.g = Network("encoder", variables)
        self.depth, self.heads = layers(variables, "encoder"), int(variables["encoder/num_heads"])
        self.positions = variables["encoder/position_encodings/encodings"]
        self.width = self.positions.shape[1]

    def convolve(self):
        x, g = "input_features", self.g
        for i, stride in (1, 1), (2, 2):
            weight, bias = g.single(f"encoder/conv{i}/")
            x = g.fused("Gelu", g.op("Conv", x, weight, bias, kernel_shape=[3], pads=[1, 1], strides=[stride]))
        return g.op("Transpose", x, perm=[0, 2, 1])

    def tail(self, x):
        """Adds positions, and after the frames given the rest of the 30 s that the model was trained on: silence.

        Its frames differ in their positions only, so one stands for TAIL_STRIDE of them. Returns the frames and the
        logarithm of how many each stands for (Bolya et al. 2022, "Token Merging", proportional attention).
        """
        g, (end, _) = self.g, self.positions.shape
        frames = g.op("Shape", x, start=1, end=2)
        length = g.op("Squeeze", frames)
        first = g.op("Add", length, np.int64(TAIL_STRIDE // 2))
        later = g.op("Range", first, np.int64(end), np.int64(TAIL_STRIDE))
        silence = g.op("Slice", x, ints(-2), ints(-1), ints(1))
        silence = g.op("Add", silence, g.op("Gather", self.positions, later))
        x = g.op("Add", x, g.op("Slice", self.positions, ints(0), frames, ints(0)))
        one = g.op("ConstantOfShape", frames)
        many = g.op("Add", g.op("ConstantOfShape", g.op("Shape", later)), np.float32(math.log(TAIL_STRIDE)))
        counts = g.op("Unsqueeze", g.op("Concat", one, many, axis=0), ints(1))
        return g.op("Concat", x, silence, axis=1), counts

    def widened(self, matrix, bias, shift):
        """One more channel for each head, of the constant `shift`."""
        matrix = np.pad(matrix.reshape(self.heads, -1, self.width), ((0, 0), (0, 1), (0, 0)))
        bias = np.pad(bias.reshape(self.heads, -1), ((0, 0), (0, 1)), constant_values=shift)
        return matrix.reshape(-1, self.width), bias.reshape(-1)

    def attention(self, x, counts, prefix):
        """The counts enter as a channel in which every query is 1: its product with the keys adds them to the scores."""
        scale = (self.width // self.heads) ** -0.5
        g, hidden = self.g, self.g.norm(x, prefix + "layer_norm/")
        query, key, val = g.fused_rows(prefix + "linear_0/", 3)
        query = g.linear(hidden, *self.widened(*query, 1 / scale))
        key = g.op("Add", g.linear(hidden, *self.widened(*key, 0)), counts)
        context = g.fused("MultiHeadAttention", query, key, g.linear(hidden, *val), num_heads=self.heads, scale=scale)
        return g.op("Add", x, g.linear(context, *g.single(prefix + "linear_1/")))

    def feed_forward(self, x, prefix, deep):
        """In the deeper half a few frames are a hundred times louder than the others after the first product."""
        g = self.g
        hidden = g.fused("Gelu", g.linear(g.norm(x, prefix + "layer_norm/"), *g.single(prefix + "linear_0/")))
        product = g.row_linear if deep else g.linear
        return g.op("Add", x, product(hidden, *g.single(prefix + "linear_1/")))

    def build(self):
        g = self.g
        x, counts = self.tail(self.convolve())
        channel = np.zeros((self.heads, self.width // self.heads + 1), np.float32)
        channel[:, -1] = 1
        counts = g.op("Mul", counts, channel.reshape(1, -1))
        for i in range(self.depth):
            x = self.attention(x, counts, f"encoder/layer_{i}/self_attention/")
            x = self.feed_forward(x, f"encoder/layer_{i}/ffn/", deep=2 * i >= self.depth)
        g.norm(x, "encoder/layer_norm/", output="last_hidden_state")
        mels = self.v["encoder/conv1/weight"].shape[1]
        return g.finish(
            [value("input_features", ["batch_size", mels, "feature_frames"])],
            [value("last_hidden_state", ["batch_size", "encoder_frames", self.width])],
        )


class Decoder:
    """Tokens to logits with a cache. While `use_cache_branch` is false it computes the keys and values of the audio."""

    def __init__(self, variables, alignment_heads):
        self.v, self.alignment = variables, alignment_heads
        self.g = Network("decoder", variables)
        self.depth, self.heads = layers(variables, "decoder"), int(variables["decoder/num_heads"])
        self.vocabulary, self.width = variables["decoder/embeddings/weight"].shape
        self.embeddings = blocks(variables["decoder/embeddings/weight"])

    def embed(self):
        """Embeddings of the tokens, from the matrix that also makes the logits, plus positions from the cache's end on."""
        g, (weights, scales) = self.g, self.embeddings
        rows = g.op("Cast", g.op("Gather", weights, "input_ids"), to=TensorProto.FLOAT)
        scale = g.op("Unsqueeze", g.op("Gather", scales, "input_ids"), ints(3))
        rows = g.op("Mul", g.op("Sub", rows, np.float32(128)), scale)
        past = g.op("Shape", "past_key_values.0.decoder.key", start=2, end=3)
        end = g.op("Add", past, g.op("Shape", "input_ids", start=1, end=2))
        positions = g.op("Slice", self.v["decoder/position_encodings/encodings"], past, end, ints(0))
        return g.op("Add", g.op("Reshape", rows, ints(0, 0, self.width)), positions)

    def self_attention(self, x, i):
        g, prefix = self.g, f"decoder/layer_{i}/self_attention/"
        hidden = g.norm(x, prefix + "layer_norm/")
        projected = [g.row_linear(hidden, *part) for part in g.fused_rows(prefix + "linear_0/", 3)]
        past, present = ([f"{when}.{i}.decoder.{part}" for part in ("key", "value")] for when in ("past_key_values", "present"))
        context, *_ = g.several(
            "MultiHeadAttention", [*projected, "", "", "", *past], [f"{g.name}/self_{i}", *present],
            domain="com.microsoft", num_heads=self.heads, unidirectional=1,
        )
        return g.op("Add", x, g.row_linear(context, *g.single(prefix + "linear_1/")))

    def cross_attention(self, x, i):
        """Returns its queries too."""
        g, prefix = self.g, f"decoder/layer_{i}/attention/"
        query = g.row_linear(g.norm(x, prefix + "layer_norm/"), *g.single(prefix + "linear_0/"))
        branches = {"then_branch": self.attend_cached(query, i), "else_branch": self.attend_first(query, i)}
        outputs = [f"{g.name}/cross_{i}", f"present.{i}.encoder.key", f"present.{i}.encoder.value"]
        context, *_ = g.several("If", ["use_cache_branch"], outputs, **branches)
        return query, g.op("Add", x, g.row_linear(context, *g.single(prefix + "linear_2/")))

    def attend_cached(self, query, i):
        """Keys and values are read where the caller holds them and not given back.

        With fewer windows than queries each window serves as many consecutive ones: the beams of a search.
        """
        g = Network(f"cached_{i}", self.v, self.g)
        past = [f"past_key_values.{i}.encoder.{part}" for part in ("key", "value")]
        beams = g.op("Concat", g.op("Shape", past[0], start=0, end=1), ints(-1, self.width), axis=0)
        context = g.fused("MultiHeadAttention", g.op("Reshape", query, beams), *past, num_heads=self.heads)
        outputs = [g.op("Reshape", context, g.op("Shape", query))]
        empty = numpy_helper.from_array(np.zeros((0, self.heads, 1, self.width // self.heads), np.float32))
        outputs += [g.op("Constant", value=empty) for _ in past]
        return g.finish([], [value(name) for name in outputs])

    def attend_first(self, query, i):
        g = Network(f"first_{i}", self.v, self.g)
        halves = [g.linear("encoder_hidden_states", *part) for part in g.fused_rows(f"decoder/layer_{i}/attention/linear_1/", 2)]
        key, val = (self.split_heads(g, half) for half in halves)
        context = g.fused("MultiHeadAttention", query, key, val, num_heads=self.heads)
        return g.finish([], [value(name) for name in (context, key, val)])

    def split_heads(self, g, x):
        return g.op("Transpose", g.op("Reshape", x, ints(0, 0, self.heads, -1)), perm=[0, 2, 1, 3])

    def align(self, queries):
        """Cross-attention of the alignment heads: only when asked for, and over the cached keys."""
        g, none = Network("align", self.v, self.g), Network("no_align", self.v, self.g)
        parts = []
        for i in sorted({layer for layer, _ in self.alignment}):
            heads = ints(*(head for layer, head in self.alignment if layer == i))
            query = g.op("Gather", self.split_heads(g, queries[i]), heads, axis=1)
            key = g.op("Gather", f"past_key_values.{i}.encoder.key", heads, axis=1)
            query = g.op("Mul", query, np.float32((self.width // self.heads) ** -0.5))
            parts.append(g.op("Softmax", g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2])), axis=-1))
        empty = numpy_helper.from_array(np.zeros((0, len(self.alignment), 0, 0), np.float32))
        branches = {
            "then_branch": g.finish([], [value(g.op("Concat", *parts, axis=1))]),
            "else_branch": none.finish([], [value(none.op("Constant", value=empty))]),
        }
        self.g.several("If", ["output_alignments"], ["alignment_attentions"], **branches)

    def logits(self, x):
        g = self.g
        kept = g.op("Slice", x, g.op("Neg", "num_logits_to_keep"), ints(2**31 - 1), ints(1))
        g.block_product(g.norm(kept, "decoder/layer_norm/"), *self.embeddings, output="logits")

    def build(self):
        g, x, queries = self.g, self.embed(), []
        for i in range(self.depth):
            x = self.self_attention(x, i)
            query, x = self.cross_attention(x, i)
            queries.append(query)
            prefix = f"decoder/layer_{i}/ffn/"
            hidden = g.row_linear(g.norm(x, prefix + "layer_norm/"), *g.single(prefix + "linear_0/"))
            x = g.op("Add", x, g.row_linear(g.fused("Gelu", hidden), *g.single(prefix + "linear_1/")))
        self.logits(x)
        self.align(queries)
        for name, default in self.defaults().items():
            g.weights[name] = numpy_helper.from_array(default, name)
        return g.finish(self.inputs(), self.outputs())

    def defaults(self):
        return {"num_logits_to_keep": np.array([0]), "output_alignments": np.array([False])}

    def cache(self, when, side, batch, steps):
        shape = [batch, self.heads, steps, self.width // self.heads]
        return [value(f"{when}.{i}.{side}.{part}", shape) for i in range(self.depth) for part in ("key", "value")]

    def inputs(self):
        return [
            value("input_ids", ["batch_size", "tokens"], TensorProto.INT64),
            value("encoder_hidden_states", ["windows", "frames", self.width]),
            *self.cache("past_key_values", "decoder", "batch_size", "past_tokens"),
            *self.cache("past_key_values", "encoder", "windows", "past_frames"),
            value("use_cache_branch", [1], TensorProto.BOOL),
            value("num_logits_to_keep", [1], TensorProto.INT64),
            value("output_alignments", [1], TensorProto.BOOL),
        ]

    def outputs(self):
        return [
            value("logits", ["batch_size", "kept_tokens", self.vocabulary]),
            *self.cache("present", "decoder", "batch_size", "all_tokens"),
            *self.cache("present", "encoder", "present_windows", "present_frames"),
            value("alignment_attentions", ["aligned_rows", len(self.alignment), "aligned_tokens", "aligned_frames"]),
        ]


def config(variables: dict) -> dict:
    """config.json: the sizes, as Hugging Face names them."""
    frames, width = variables["encoder/position_encodings/encodings"].shape
    sides = ("encoder", "decoder")
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "num_mel_bins": variables["encoder/conv1/weight"].shape[1],
        "d_model": width,
        "vocab_size": variables["decoder/embeddings/weight"].shape[0],
        "max_source_positions": frames,
        "max_target_positions": variables["decoder/position_encodings/encodings"].shape[0],
        **{f"{side}_layers": layers(variables, side) for side in sides},
        **{f"{side}_attention_heads": int(variables[f"{side}/num_heads"]) for side in sides},
        **{f"{side}_ffn_dim": variables[f"{side}/layer_0/ffn/linear_0/bias"].size for side in sides},
        "bos_token_id": 50257,
        "eos_token_id": 50257,
        "pad_token_id": 50257,
        "decoder_start_token_id": 50258,
    }


def generation_config(ct2: dict, tokenizer: dict) -> dict:
    """generation_config.json: special tokens, what is never generated, and the heads that align words with time."""
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    names = {token: name for name, token in ids.items()}
    return {
        "alignment_heads": ct2["alignment_heads"],
        "is_multilingual": True,
        "lang_to_id": {names[i]: i for i in ct2["lang_ids"]},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "suppress_tokens": ct2["suppress_ids"],
        "begin_suppress_tokens": ct2["suppress_ids_begin"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "return_timestamps": False,
    }


def write(graph, path: Path):
    opsets = [helper.make_opsetid(*item) for item in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ai_audio")
    checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes the two graphs, `config.json`, `generation_config.json` and `tokenizer.json` into the folder `out`."""
    variables = read_ct2(b"".join(members[f"model.bin.part{i}"].read_bytes() for i in (1, 2)))
    ct2, tokenizer = (json.loads(members[name].read_text()) for name in ("config.json", "tokenizer.json"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config(variables), indent=1) + "\n")
    (out / "generation_config.json").write_text(json.dumps(generation_config(ct2, tokenizer), indent=1) + "\n")
    (out / "tokenizer.json").write_bytes(members["tokenizer.json"].read_bytes())
    smooth(variables)
    write(Encoder(variables).build(), out / "encoder_model.onnx")
    write(Decoder(variables, ct2["alignment_heads"]).build(), out / "decoder_model_merged.onnx")
