#!/usr/bin/env python3
"""How fast ONNX Runtime runs speaker models: `target/venv-test/bin/python models/bench.py [FILE ...]`.

Any model with one input [N, T, 80] will do; the default is the fetched CAM++. The best of many runs, taken in turns, in
milliseconds per second of audio: wall time, and processor time, which other work on the machine disturbs less.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

DEFAULT = Path(__file__).resolve().parent.parent / "target/models/campplus_zh_en.onnx"
FRAMES_PER_SECOND = 100
ROUNDS = 30


def timed(work, *arguments):
    """Wall and processor milliseconds, and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return 1000 * np.array([time.perf_counter() - wall, time.process_time() - processor]), result


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main(paths):
    print(f"ONNX Runtime {onnxruntime.__version__}")
    random = np.random.default_rng(0)
    for threads in (1, 2):
        sessions = {}
        for path in paths:
            (wall, processor), sessions[path] = timed(session, path, threads)
            print(f"{threads} threads  {Path(path).name:28} opens in {wall:6.0f} ms, processor {processor:6.0f} ms")
        for seconds in (1, 3, 10):
            feats = random.standard_normal((1, seconds * FRAMES_PER_SECOND - 2, 80)).astype(np.float32)
            best = dict.fromkeys(paths, np.full(2, np.inf))
            for _ in range(ROUNDS):
                for path, model in sessions.items():
                    spent, _ = timed(model.run, None, {model.get_inputs()[0].name: feats})
                    best[path] = np.minimum(best[path], spent)
            for path, (wall, processor) in best.items():
                print(f"{threads} threads  {Path(path).name:28} {seconds:3} s: {wall / seconds:6.2f}, processor {processor / seconds:6.2f}")


if __name__ == "__main__":
    main(sys.argv[1:] or [str(DEFAULT)])
