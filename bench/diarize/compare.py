"""Diarization against sherpa-onnx with the same two models in the same run: error rates, speaker counts, speed.

    bench/run diarize                    error rates, words and the speed on ten minutes
    bench/diarize/run rates [FOLDER]     error rates on recordings (.wav, .flac) with an .rttm beside each
    bench/diarize/run words [FOLDER]     share of words given to the right speaker, on recordings with an .stm
    bench/diarize/run speed [SECONDS]    time of each stage, and in all, on recordings joined to one of so many seconds
    bench/diarize/run long [SECONDS]     ours alone on an hour: time and peak memory

FOLDER is by default the folder `meetings` of $AI_AUDIO_SPEECH. Scores are pyannote.metrics'; overlaps are scored; a
collar of 0.25 leaves out a quarter of a second on each side of a boundary of the reference. $THREADS is 2 by default.
"""

import os
import re
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx
import sherpa_onnx
import soundfile
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from scipy.optimize import linear_sum_assignment

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
MODELS, WORK = ROOT / "target/models", ROOT / "target/bench/diarize/work"
LIBRARY = ROOT / "target/onnxruntime/libonnxruntime.so"
THREADS = int(os.environ.get("THREADS", "2"))


def rttm(path: Path) -> Annotation:
    turns = Annotation()
    for i, line in enumerate(path.read_text().splitlines()):
        fields = line.split()
        turns[Segment(float(fields[3]), float(fields[3]) + float(fields[4])), i] = fields[7]
    return turns


def embedding_for_sherpa() -> Path:
    """CAM++ with the metadata that sherpa-onnx asks for."""
    path = WORK / "campplus.onnx"
    model = onnx.load(MODELS / "campplus_zh_en.onnx")
    wanted = {
        "framework": "3d-speaker", "language": "Chinese-English", "url": "", "comment": "", "sample_rate": "16000",
        "output_dim": "192", "normalize_samples": "1", "feature_normalize_type": "global-mean",
    }  # fmt: skip
    for key, value in wanted.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return path


def sherpa(count: int = -1) -> sherpa_onnx.OfflineSpeakerDiarization:
    """sherpa-onnx with its defaults."""
    segmentation = sherpa_onnx.OfflineSpeakerSegmentationModelConfig(
        pyannote=sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(model=str(MODELS / "pyannote_segmentation_3.onnx")),
        num_threads=THREADS,
    )
    embedding = sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(embedding_for_sherpa()), num_threads=THREADS)
    clustering = sherpa_onnx.FastClusteringConfig(num_clusters=count, threshold=0.5)
    config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
        segmentation=segmentation, embedding=embedding, clustering=clustering, min_duration_on=0.3, min_duration_off=0.5
    )
    return sherpa_onnx.OfflineSpeakerDiarization(config)


def by_sherpa(file: Path, count: int = -1) -> tuple[Annotation, float]:
    samples, rate = soundfile.read(file, dtype="float32")
    assert rate == 16000 and samples.ndim == 1, f"{file} is not 16 kHz mono"
    diarizer = sherpa(count)
    started = time.perf_counter()
    found = diarizer.process(np.ascontiguousarray(samples)).sort_by_start_time()
    seconds = time.perf_counter() - started
    turns = Annotation()
    for i, turn in enumerate(found):
        turns[Segment(turn.start, turn.end), i] = turn.speaker
    return turns, seconds


def diarize(*options) -> str:
    command = [PROGRAMS / "diarize", "--threads", str(THREADS), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(file: Path, count: int | None = None) -> tuple[Annotation, float]:
    known = ["--count", str(count)] if count else []
    said = diarize(*known, LIBRARY, MODELS, WORK, file)
    return rttm(WORK / f"{file.stem}.rttm"), float(said.split()[1])


def recordings(folder: Path, beside: str) -> list[Path]:
    return [f for f in sorted(folder.iterdir()) if f.suffix in (".wav", ".flac") and f.with_suffix(beside).exists()]


def rates(folder: Path, known: bool):
    print(f"\n{'with' if known else 'without'} the number of speakers; % of reference speech, DER with collar 0 and 0.25")
    columns = "speakers | missed | false alarm | confused | DER | 0.25 |"
    print(f"| file | {columns} sherpa-onnx: {columns}\n|{'---|' * 13}")
    files = recordings(folder, ".rttm")
    metrics = {(who, c): DiarizationErrorRate(collar=2 * c) for who in (ours, by_sherpa) for c in (0, 0.25)}
    right = dict.fromkeys((ours, by_sherpa), 0)
    for file in files:
        reference = rttm(file.with_suffix(".rttm"))
        count = len(reference.labels())
        length = Timeline([Segment(0, soundfile.info(file).duration)])
        cells = []
        for who in right:
            found = who(file, count)[0] if known else who(file)[0]
            plain = metrics[who, 0](reference, found, uem=length, detailed=True)
            collared = metrics[who, 0.25](reference, found, uem=length)
            parts = [plain[k] / plain["total"] for k in ("missed detection", "false alarm", "confusion")]
            numbers = [*parts, plain["diarization error rate"], collared]
            right[who] += len(found.labels()) == count
            cells.append(f"{len(found.labels())} of {count} | " + " | ".join(f"{100 * n:.2f}" for n in numbers))
        print(f"| {file.stem} | {' | '.join(cells)} |", flush=True)
    for who in right:
        pooled = [100 * abs(metrics[who, c]) for c in (0, 0.25)]
        name = "ours" if who is ours else "sherpa-onnx"
        print(f"{name}: pooled DER {pooled[0]:.2f}, {pooled[1]:.2f}; speakers right {right[who]} of {len(files)}")


def tokens(text: str) -> list[str]:
    """Words in small letters without punctuation; each Chinese character is one."""
    return re.findall(r"[\u4e00-\u9fff]|[a-z0-9']+", text.lower())


def aligned(said: list[str], heard: list[str]) -> list[tuple[int, int]]:
    """Pairs of places of equal or substituted words, by least edits."""
    cost = np.zeros((len(said) + 1, len(heard) + 1), int)
    cost[:, 0], cost[0] = np.arange(len(said) + 1), np.arange(len(heard) + 1)
    for i, a in enumerate(said, 1):
        for j, b in enumerate(heard, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (a != b), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    pairs, i, j = [], len(said), len(heard)
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + (said[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs


def is_alone(turns, time: float) -> bool:
    """Whether at most one of the turns `(who, start, end, text)` holds a time."""
    return sum(start <= time < end for _, start, end, _ in turns) < 2


def words(folder: Path):
    """Words that are aligned with the transcript, outside of overlaps; speakers matched as is best for each file."""
    print("\nshare of words with the right speaker, Whisper base, without overlapped speech")
    files = recordings(folder, ".stm")
    command = [PROGRAMS / "speakers", LIBRARY, MODELS, "whisper-base", *files]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    heard = [line.split("\t") for line in lines]
    right = total = 0
    for file in files:
        turns = [line.split(maxsplit=5) for line in file.with_suffix(".stm").read_text().splitlines()]
        turns = [(t[2], float(t[3]), float(t[4]), t[5]) for t in turns]
        said = [(word, who) for who, _, _, text in turns for word in tokens(text)]
        got = [(w, h[3], (int(h[1]) + int(h[2])) / 2000) for h in heard if h[0] == str(file) for w in tokens(h[4])]
        pairs = [(said[i][1], got[j][1]) for i, j in aligned([s[0] for s in said], [g[0] for g in got]) if is_alone(turns, got[j][2])]
        names, numbers = sorted({a for a, _ in pairs}), sorted({b for _, b in pairs})
        counts = np.array([[pairs.count((a, b)) for b in numbers] for a in names])
        correct = counts[linear_sum_assignment(-counts)].sum()
        print(f"{file.stem}: {correct} of {len(pairs)} words, {100 * correct / len(pairs):.2f} %", flush=True)
        right, total = right + correct, total + len(pairs)
    print(f"all: {right} of {total} words, {100 * right / total:.2f} %")


def joined(seconds: int) -> Path:
    """The conversations that last over a minute, again and again."""
    path, parts, rest = WORK / f"joined-{seconds}.wav", [], seconds * 16000
    for file in cycle(f for f in recordings(default(), ".rttm") if soundfile.info(f).duration > 60):
        parts.append(soundfile.read(file, dtype="float32")[0][:rest])
        rest -= len(parts[-1])
        if rest <= 0:
            break
    soundfile.write(path, np.concatenate(parts), 16000)
    return path


def speed(seconds: int):
    print(f"\nspeed, {THREADS} threads")
    file = joined(seconds)
    print(diarize("--stages", LIBRARY, MODELS, WORK, file), end="")
    for who in (ours, by_sherpa):
        taken = who(file)[1]
        print(f"{'ours' if who is ours else 'sherpa-onnx'}: {taken:.2f} s for {seconds} s, RTF {taken / seconds:.4f}", flush=True)


def long(seconds: int):
    print(f"\n{seconds} s, {THREADS} threads")
    print(diarize("--peak", LIBRARY, MODELS, WORK, joined(seconds)), end="")


def default() -> Path:
    return Path(os.environ["AI_AUDIO_SPEECH"]) / "meetings"


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    part, given = (sys.argv[1:2] or ["all"])[0], sys.argv[2:3]
    folder = Path(given[0]) if given and part in ("rates", "words") else None
    if part in ("rates", "all"):
        rates(folder or default(), known=False)
        rates(folder or default(), known=True)
    if part in ("words", "all"):
        words(folder or default())
    if part in ("speed", "all"):
        speed(int(given[0]) if given else 600)
    if part == "long":
        long(int(given[0]) if given else 3600)


if __name__ == "__main__":
    main()
