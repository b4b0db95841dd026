"""What enhancement does, with noise of 0, 5 and 10 dB: the recording as it is, and by each model. Prints Markdown tables.

    bench/enhance/run [PART...]

listening   SI-SDR in dB to the clean recording, and DNSMOS (overall quality, 1 to 5): 3 utterances of 15 s in 3 noises
voices      EER of voiceprints: 10 speakers, each of the mean of 2 clean utterances, against 2 noisy ones of each speaker
speakers    DER: 5 meetings of 30 s; overlaps are scored, a quarter of a second on each side of a boundary is not
words       WER of whisper-base: an utterance of each of 10 speakers

Noises are café, traffic and voices (babble), in turns, from the folder `noisy` of $AI_AUDIO_SPEECH: its mixtures less the clean
recordings. Voices, speakers and words are heard with the option `enhance`.
"""

import csv
import io
import json
import os
import sys
from collections import defaultdict
from itertools import count
from pathlib import Path

import jiwer
import numpy as np
import psycopg
import soundfile
from pyannote.core import Annotation, Segment
from pyannote.metrics.diarization import DiarizationErrorRate
from speechmos import dnsmos
from whisper_normalizer.english import EnglishTextNormalizer

SPEECH = Path(os.environ["AI_AUDIO_SPEECH"])
RATE = 16000
NOISES, LEVELS = ("cafe", "traffic", "babble"), (0, 5, 10)
MODELS = (None, "gtcrn", "deepfilternet3")
COLLAR = 0.5  # both sides together
SCORED = 10 * RATE  # samples that DNSMOS hears
session = psycopg.connect(os.environ["AI_AUDIO_TEST_URL"], autocommit=True)


def read(path: Path):
    samples, rate = soundfile.read(path, dtype="float64")
    assert rate == RATE and samples.ndim == 1, f"{path} is not 16 kHz mono"
    return samples


CLEAN = {path.name.removesuffix("_clean.flac"): read(path) for path in sorted(SPEECH.glob("noisy/*_clean.flac"))}
NOISE = [[read(SPEECH / f"noisy/{name}_{kind}_0dB.flac") - clean for name, clean in CLEAN.items()] for kind in NOISES]


def noisy(samples, level: int, kind: int, piece: int):
    noise = np.resize(NOISE[kind % len(NOISES)][piece % len(CLEAN)], len(samples))
    noise *= np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (level / 10))
    mixed = samples + noise
    return mixed / max(1, np.abs(mixed).max() / 0.99)


def wav(samples) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, "PCM_16", format="WAV")
    return file.getvalue()


def ask(query: str, samples, options: dict):
    return session.execute(query, (wav(samples), json.dumps({k: v for k, v in options.items() if v}))).fetchall()


def table(title: str, values: dict, form: str):
    """`values`: level and model to a list of numbers."""
    print(f"\n| {title} | as it is | {' | '.join(MODELS[1:])} |\n|---|---|---|---|")
    for level in LEVELS:
        print(f"| {level} dB |", " | ".join(form.format(np.mean(values[level, model])) for model in MODELS), "|", flush=True)


def si_sdr(clean, heard):
    clean, heard = clean - clean.mean(), heard - heard.mean()
    target = clean * (heard @ clean / (clean @ clean))
    return 10 * np.log10(target @ target / ((heard - target) @ (heard - target)))


def listening():
    sdr, mos = defaultdict(list), defaultdict(list)
    for piece, clean in enumerate(CLEAN.values()):
        for kind in range(len(NOISES)):
            for level in LEVELS:
                mixed = noisy(clean, level, kind, piece)
                for model in MODELS:
                    heard = mixed
                    if model:
                        file = ask("SELECT ai_audio_enhance(%s::bytea, %s::jsonb)", mixed, {"model": model, "sample_rate": RATE})[0][0]
                        heard, _ = soundfile.read(io.BytesIO(file))
                    sdr[level, model].append(si_sdr(clean, heard))
                    mos[level, model].append(dnsmos.run(np.clip(heard[:SCORED], -1, 1), RATE)["ovrl_mos"])
    table("SI-SDR", sdr, "{:.1f}")
    table("DNSMOS", mos, "{:.2f}")


def manifest(kind: str, language: str):
    with open(SPEECH / "manifest.tsv") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == kind and row["language"] == language]
    speakers = defaultdict(list)
    for row in rows:
        speakers[row["speaker"]].append((read(SPEECH / row["path"]), row["transcript"]))
    return speakers


def voiceprint(samples, model=None):
    (row,) = ask("SELECT ai_audio_embed(%s::bytea, %s::jsonb)::real[]", samples, {"enhance": model})
    vector = np.array(row[0])
    return vector / np.linalg.norm(vector)


def equal_error_rate(same, other):
    thresholds = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), thresholds, "left") / len(same)
    wrong = 1 - np.searchsorted(np.sort(other), thresholds, "left") / len(other)
    at = np.argmin(np.abs(missed - wrong))
    return (missed[at] + wrong[at]) / 2


def voices():
    speakers = list(manifest("voice", "en").values())
    library = [np.mean([voiceprint(samples) for samples, _ in clips[:2]], axis=0) for clips in speakers]
    library = [vector / np.linalg.norm(vector) for vector in library]
    rates, means = {}, {}
    for level in LEVELS:
        for model in MODELS:
            same, other, number = [], [], count()
            for speaker, clips in enumerate(speakers):
                for samples, _ in clips[2:4]:
                    i = next(number)
                    heard = voiceprint(noisy(samples, level, i, i // 3), model)
                    for owner, vector in enumerate(library):
                        (same if owner == speaker else other).append(heard @ vector)
            rates[level, model] = [100 * equal_error_rate(np.array(same), np.array(other))]
            means[level, model] = same
    table("EER, %", rates, "{:.1f}")
    table("similarity to the speaker's own", means, "{:.2f}")


def turns(rows) -> Annotation:
    said = Annotation()
    for i, (start, end, speaker) in enumerate(rows):
        said[Segment(start, end), i] = speaker
    return said


def speakers():
    values = {}
    for level in LEVELS:
        for model in MODELS:
            rate = DiarizationErrorRate(collar=COLLAR)
            for i, path in enumerate(sorted(SPEECH.glob("meetings/ami_*.wav"))):
                fields = [line.split() for line in path.with_suffix(".rttm").read_text().splitlines()]
                truth = turns((float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields)
                samples = read(path)
                query = "SELECT start_time / 1000.0::float8, end_time / 1000.0::float8, speaker_id FROM ai_audio_diarize(%s::bytea, %s::jsonb)"
                found = turns(ask(query, noisy(samples, level, i, i // 3), {"enhance": model}))
                rate(truth, found, uem=Segment(0, len(samples) / RATE))
            values[level, model] = [100 * abs(rate)]
    table("DER, %", values, "{:.1f}")


def words():
    plain = EnglishTextNormalizer()
    values = {}
    clips = [clips[4] for clips in manifest("voice", "en").values()]
    for level in LEVELS:
        for model in MODELS:
            query = "SELECT ai_audio_transcribe('whisper-base', %s::bytea, %s::jsonb)"
            options = {"language": "en", "enhance": model}
            heard = [ask(query, noisy(samples, level, i, i // 3), options)[0][0] for i, (samples, _) in enumerate(clips)]
            values[level, model] = [100 * jiwer.wer([plain(text) for _, text in clips], [plain(text) for text in heard])]
    table("WER, %", values, "{:.1f}")


PARTS = {part.__name__: part for part in (listening, voices, speakers, words)}

if __name__ == "__main__":
    # One core for DNSMOS: on a machine with other work its threads would wait for each other.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    session.execute("CREATE EXTENSION IF NOT EXISTS ai_audio CASCADE")
    session.execute("SET ai_audio.threads = 1")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
