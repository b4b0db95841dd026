#!/usr/bin/env python3
"""Makes crates/testing/golden/whisper_*.json: Whisper base by CTranslate2 and faster-whisper, in single precision.

They run the very weights that convert_whisper.py converts. Run it after `models/fetch`, when the model changes:

    python3 -m venv target/golden-whisper
    target/golden-whisper/bin/pip install -r bench/asr/requirements.txt
    target/golden-whisper/bin/python models/golden_whisper.py
"""

import json
import sys
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, decode_audio
from faster_whisper.feature_extractor import FeatureExtractor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench/asr"))
from peer import weights_folder

CLIPS, OUT = ROOT / "target/speech", ROOT / "crates/testing/golden"
CLIP, WINDOW = "austen-2.wav", 480_000
PROMPT = [50258, 50259, 50359, 50363]  # start, English, transcribe, without time tokens
TEXTS = ("allison-2.wav", "allison-es-1.wav", "austen-1.wav", "cards-1.wav", "david-1.wav", "diane-1.wav", "sheila-1.wav")


def window(clip: str) -> np.ndarray:
    samples = decode_audio(str(CLIPS / clip))
    return np.pad(samples, (0, WINDOW - samples.size))


def rounded(values, digits=4) -> list:
    return [round(float(value), digits) for value in values]


def features(mels: int) -> np.ndarray:
    return FeatureExtractor(feature_size=mels)(window(CLIP), padding=0)


def log_mel() -> list:
    frames = list(range(0, 240, 12)) + [2999]
    return [
        {"clip": CLIP, "mels": mels, "frames": frames, "values": [rounded(features(mels)[:, i]) for i in frames]}
        for mels in (80, 128)
    ]


def network(model) -> tuple[dict, dict]:
    audio = ctranslate2.StorageView.from_array(np.ascontiguousarray(features(80)[None], np.float32))
    hidden = model.encode(audio)
    frames = list(range(4, 100, 12))
    encoder = {"clip": CLIP, "frames": frames, "hidden": [rounded(np.array(hidden)[0, i], 3) for i in frames]}
    # Nothing suppressed, so that the logits come as the network gives them.
    options = {"beam_size": 1, "max_length": len(PROMPT) + 2, "suppress_tokens": [], "suppress_blank": False}
    result = model.generate(hidden, [PROMPT], return_logits_vocab=True, return_no_speech_prob=True, **options)[0]
    logits = np.array(result.logits[0][0]).astype(np.float64).ravel()
    log_probs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    best = np.argsort(-log_probs)[:20]
    languages = [[name.strip("<|>"), round(p, 4)] for name, p in model.detect_language(hidden)[0][:5]]
    decoder = {
        "clip": CLIP, "prompt": PROMPT, "tokens": best.tolist(), "log_probs": rounded(log_probs[best]),
        "no_speech": result.no_speech_prob, "languages": languages,
    }
    return encoder, decoder


def texts(model) -> list:
    made = []
    for clip in TEXTS:
        segments, info = model.transcribe(str(CLIPS / clip), beam_size=1, word_timestamps=True)
        segments = list(segments)
        words = [[round(1000 * w.start), round(1000 * w.end), w.word.strip()] for s in segments for w in s.words]
        made.append({"clip": clip, "language": info.language, "text": "".join(s.text for s in segments).strip(), "words": words})
    return made


def write(name: str, content):
    reference = f"CTranslate2 {ctranslate2.__version__}, single precision, whisper-base"
    document = {"made_by": "models/golden_whisper.py", "reference": reference, name: content}
    (OUT / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    folder = str(weights_folder())
    model = WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=2)
    encoder, decoder = network(model.model)
    for name, content in {"logmel": log_mel(), "encoder": encoder, "decoder": decoder, "texts": texts(model)}.items():
        write(f"whisper_{name}", content)


if __name__ == "__main__":
    main()
