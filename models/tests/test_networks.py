"""The fetched networks against numbers of reference implementations (models/golden.py made them)."""

import json
import os
import unittest
import wave
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import onnx
import onnxruntime
import soundfile

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "target/models"
CLIPS = ROOT / "target/speech"
GOLDEN = ROOT / "crates/testing/golden"
RATE = 16000


def session(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODELS / name), options, providers=["CPUExecutionProvider"])


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())[name]


def samples(entry):
    with wave.open(str(CLIPS / entry["clip"])) as clip:
        signal = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768
    start = entry.get("start", 0)
    return signal[start : start + entry.get("samples", len(signal))]


def features(signal):
    options = knf.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither = RATE, 0
    options.frame_opts.window_type, options.frame_opts.snip_edges = "povey", True
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = 80, 20, 0
    options.use_energy, options.energy_floor = False, 0
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(RATE, signal.tolist())
    bank.input_finished()
    frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    return (frames - frames.mean(axis=0)).astype(np.float32)


def cosine(a, b):
    a, b = (np.asarray(v, np.float64).ravel() for v in (a, b))
    return a @ b / np.sqrt((a @ a) * (b @ b))


class Campplus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = session("campplus_zh_en.onnx")

    def embed(self, feats):
        return self.network.run(None, {"feats": feats})[0]

    def test_equals_the_reference_at_every_length(self):
        for entry in golden("embeddings"):
            with self.subTest(clip=entry["clip"], frames=entry["frames"]):
                feats = features(samples(entry))
                self.assertEqual(len(feats), entry["frames"])
                self.assertGreaterEqual(cosine(self.embed(feats[None])[0], entry["embedding"]), 0.99999)

    def test_equals_the_reference_on_the_development_recordings(self):
        folder = os.environ.get("AI_AUDIO_SPEECH")
        if not folder:
            self.skipTest("AI_AUDIO_SPEECH is not set")
        for entry in json.loads((Path(folder) / "golden/campplus_embeddings.json").read_text()):
            with self.subTest(path=entry["path"], samples=entry["samples"]):
                signal, rate = soundfile.read(Path(folder) / entry["path"], dtype="float32", always_2d=True)
                self.assertEqual(rate, RATE)
                feats = features(signal.mean(axis=1)[: entry["samples"]])
                self.assertGreaterEqual(cosine(self.embed(feats[None])[0], entry["embedding"]), 0.99999)

    def test_a_batch_gives_what_single_runs_give(self):
        entries = [entry for entry in golden("embeddings") if entry["frames"] >= 277]
        for frames in (49, 100, 149, 250, 277):
            batch = np.stack([features(samples(entry))[:frames] for entry in entries])
            for feats, together in zip(batch, self.embed(batch), strict=True):
                self.assertGreaterEqual(cosine(self.embed(feats[None])[0], together), 0.9999999)

    def test_has_nothing_that_onnx_runtime_fuses_wrongly(self):
        kinds = {node.op_type for node in onnx.load(MODELS / "campplus_zh_en.onnx", load_external_data=False).graph.node}
        self.assertFalse(kinds & {"Pad", "AveragePool"}, "ONNX Runtime 1.22 to 1.27 miscompute Pad before AveragePool")

    def test_a_single_frame_is_finite(self):
        self.assertTrue(np.isfinite(self.embed(np.zeros((1, 1, 80), np.float32))).all())

    def test_says_what_it_is(self):
        said = self.network.get_modelmeta().custom_metadata_map
        self.assertEqual((said["sample_rate"], said["output_dim"], said["feature_dim"]), ("16000", "192", "80"))


class Segmentation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = session("pyannote_segmentation_3.onnx")

    def run_on(self, signals):
        return self.network.run(None, {"samples": signals})[0]

    def test_equals_the_reference(self):
        entry = golden("segmentation")
        output = self.run_on(samples(entry)[None, None])[0]
        self.assertEqual("".join(str(c) for c in output.argmax(axis=-1)), entry["classes"])
        np.testing.assert_allclose(np.exp(output[:: entry["every"]]), np.exp(entry["log_probabilities"]), atol=1e-3)

    def test_frames_are_270_samples_apart(self):
        for count, frames in ((160000, 589), (991, 1), (1261, 2), (48000, 175)):
            self.assertEqual(self.run_on(np.zeros((1, 1, count), np.float32)).shape, (1, frames, 7))

    def test_a_batch_gives_what_single_runs_give(self):
        signal = samples({"clip": "conversation.wav"})
        batch = np.stack([signal[None, start : start + 5 * RATE] for start in (0, 8 * RATE, 20 * RATE)])
        for alone, together in zip(batch, self.run_on(batch), strict=True):
            np.testing.assert_allclose(np.exp(self.run_on(alone[None])[0]), np.exp(together), atol=1e-4)


class Vad(unittest.TestCase):
    def test_equals_the_reference(self):
        entry = golden("vad")
        signal, window, context = samples(entry), entry["window"], 64
        padded = np.concatenate([np.zeros(context, np.float32), signal])
        starts = range(0, len(signal) // window * window, window)
        windows = np.stack([padded[start : start + context + window] for start in starts])
        state = np.zeros((1, 1, 128), np.float32)
        network = session("silero_vad_16k_sequence.onnx")
        probabilities = network.run(None, {"input": windows, "h": state, "c": state})[0]
        np.testing.assert_allclose(probabilities, entry["probabilities"], atol=1e-4)


class Enhancement(unittest.TestCase):
    """Networks whose states go in and come out: many frames give what few and few give."""

    def run_in_parts(self, name, data, axes, results):
        """`data`: inputs by name; `axes`: where each input and result has its frames."""
        network = session(name)
        states = {i.name: np.zeros(i.shape, np.float32) for i in network.get_inputs() if i.name not in data}
        names = [*results, *(f"{state}_next" for state in states)]
        whole = network.run(names, {**data, **states})
        parts = []
        for few in (slice(0, 7), slice(7, 8), slice(8, None)):
            piece = {key: np.moveaxis(np.moveaxis(value, axes[key], 0)[few], 0, axes[key]) for key, value in data.items()}
            got = network.run(names, {**piece, **states})
            states = dict(zip(states, got[len(results) :], strict=True))
            parts.append(got[: len(results)])
        for index, result in enumerate(results):
            together = np.concatenate([part[index] for part in parts], axis=axes[result])
            self.assertGreater(np.abs(together).max(), 0)
            np.testing.assert_allclose(together, whole[index], atol=3e-6)
        for a, b in zip(states.values(), whole[len(results) :], strict=True):
            np.testing.assert_allclose(a, b, atol=3e-6)

    def test_gtcrn(self):
        spectra = np.random.default_rng(1).normal(size=(1, 20, 257, 2)).astype(np.float32)
        self.run_in_parts("gtcrn.onnx", {"spectra": spectra}, {"spectra": 1, "voice": 1}, ["voice"])

    def test_deepfilternet(self):
        random = np.random.default_rng(1)
        erb, spec = (random.normal(size=shape).astype(np.float32) for shape in ((1, 1, 20, 32), (1, 2, 20, 96)))
        axes = {"erb": 2, "spec": 2, "mask": 2, "coefs": 1}
        self.run_in_parts("deepfilternet3.onnx", {"erb": erb, "spec": spec}, axes, ["mask", "coefs"])


class Moonshine(unittest.TestCase):
    def test_files_load_and_have_the_expected_inputs(self):
        encoder = session("moonshine-tiny-en/encoder_model.ort")
        decoder = session("moonshine-tiny-en/decoder_model_merged.ort")
        self.assertEqual([i.name for i in encoder.get_inputs()], ["input_values", "attention_mask"])
        names = {i.name for i in decoder.get_inputs()}
        self.assertLessEqual({"input_ids", "encoder_hidden_states", "encoder_attention_mask", "use_cache_branch"}, names)
        self.assertEqual(len(names), 28)


if __name__ == "__main__":
    unittest.main()
