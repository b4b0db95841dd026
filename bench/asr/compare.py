"""ai_audio_transcribe beside faster-whisper (CTranslate2, int8) on the same weights, in one run; prints Markdown tables.

For every recording the systems take turns, so that other load on the machine meets all of them alike; the last column
divides by the first system's time. Needs AI_AUDIO_TEST_URL (a server on this machine; `make -s url`); without
--sql it compares the peer's modes only.
"""

import argparse
import statistics
import time

from recordings import error_rate, joined, recordings
from systems import Extension, Peer, Rows

GREEDY, BEAM = {"beam_size": 1, "batch_size": 1}, {"beam_size": 5, "batch_size": 1}


class Column:
    """A system and what it has done so far."""

    def __init__(self, name, system):
        self.name, self.system, self.texts, self.seconds = name, system, [], 0.0

    def warm(self, recording):
        self.system.transcribe(recording)
        self.cpu_before = self.system.cpu_seconds()

    def take(self, recording):
        begin = time.perf_counter()
        text = self.system.transcribe(recording)
        self.seconds += time.perf_counter() - begin
        self.texts.append(text)


def compare(title, columns, tasks, first):
    for column in columns:
        column.warm(first)
    for task in tasks:
        for column in columns:
            column.take(task)
    audio = sum(task.seconds for task in tasks)
    unit = "CER" if tasks[0].language == "zh" else "WER"
    print(f"\n## {title}: {len(tasks)} recordings, {audio:.0f} s\n")
    print(f"| | {unit} % | RTF | CPU s | peak MB | time to the first |\n|---|---|---|---|---|---|")
    for c in columns:
        cpu = c.system.cpu_seconds() - c.cpu_before
        row = f"| {c.name} | {error_rate(tasks, c.texts):.2f} | {c.seconds / audio:.3f} | {cpu:.1f} "
        print(row + f"| {c.system.peak_mb():.0f} | {c.seconds / columns[0].seconds:.2f} |", flush=True)


def compare_rows(title, args, tasks, language):
    """The same sentences in one piece and row by row: errors, recordings in another language, seconds to the first row."""
    print(f"\n## {title}: {len(tasks)} recordings, {sum(task.seconds for task in tasks):.0f} s\n")
    print("| | error % | in another language | s to the first row, median | s for all |\n|---|---|---|---|---|")
    for form in ("FROM", "cursor"):
        column = Column(form, Rows(args.threads, form))
        column.warm(tasks[0])
        column.system.first.clear(), column.system.languages.clear()
        for task in tasks:
            column.take(task)
        others = sum(bool(found - set(language)) for found in column.system.languages)
        first = statistics.median(column.system.first)
        print(f"| {form} | {error_rate(tasks, column.texts):.2f} | {others} | {first:.2f} | {column.seconds:.1f} |", flush=True)


def columns(args, peers: dict, ours: dict):
    made = [Column(f"faster-whisper int8, {name}", Peer(args.threads, options)) for name, options in peers.items()]
    if args.sql:
        made += [Column(f"ai_audio_transcribe, {name}", Extension(args.threads, options)) for name, options in ours.items()]
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sql", action=argparse.BooleanOptionalAction, default=True, help="measure the extension too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=int, default=1000, help="recordings of a language at most")
    parser.add_argument("--minutes", type=float, default=10, help="length of the long recording")
    parser.add_argument("--only", choices=["clips", "long", "rows"])
    args = parser.parse_args()
    single = {"greedy": GREEDY, "beam 5": BEAM}
    ours = {"greedy": {"beam_size": 1}, "beam 5 (default)": {}}
    english = recordings("en", args.most)
    if args.only == "rows":
        mandarin = recordings("zh", args.most)
        compare_rows("English, clip by clip", args, english, {"en"})
        compare_rows("Mandarin, clip by clip", args, mandarin, {"zh"})
        compare_rows("All English recordings in one", args, [joined(english)], {"en"})
        compare_rows("Six English recordings in one, then the next six", args, [joined(english[i : i + 6]) for i in range(0, 48, 6)], {"en"})
        compare_rows("All Mandarin recordings in one", args, [joined(mandarin)], {"zh"})
        compare_rows("Ten minutes", args, [joined(english, 60 * args.minutes)], {"en"})
        return
    if args.only != "long":
        for name, tasks in {"English": english, "Mandarin": recordings("zh", args.most)}.items():
            if tasks:
                compare(f"{name}, clip by clip", columns(args, single, ours), tasks, tasks[0])
    if args.only != "clips":
        batched = {"greedy, batched": {"beam_size": 1, "batch_size": 8}}
        compare("All English recordings in one", columns(args, batched, ours), [joined(english)], english[0])
        compare("A long recording", columns(args, batched, ours), [joined(english, 60 * args.minutes)], english[0])


if __name__ == "__main__":
    main()
