"""The two sides of the comparison. Each has `transcribe(recording)`, `cpu_seconds()` and `peak_mb()`."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent


class Extension:
    """ai_audio_transcribe in one session of the server, which must run on this machine."""

    def __init__(self, threads: int, options: dict):
        self.session = psycopg.connect(os.environ["AI_AUDIO_TEST_URL"], autocommit=True)
        self.session.execute("CREATE EXTENSION IF NOT EXISTS ai_audio CASCADE")
        self.session.execute(f"SET ai_audio.threads = {threads}")
        self.options, self.process = options, Path(f"/proc/{self.session.info.backend_pid}")

    def transcribe(self, recording) -> str:
        options = json.dumps({"language": recording.language, **self.options})
        query = "SELECT ai_audio_transcribe('whisper-base', %s::bytea, %s::jsonb)"
        return self.session.execute(query, (recording.wav(), options)).fetchone()[0]

    def cpu_seconds(self) -> float:
        fields = (self.process / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        lines = (self.process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Rows(Extension):
    """ai_audio_sentences, its rows taken all at once (FROM) or one by one (a cursor on the select list), language not given."""

    def __init__(self, threads: int, form: str):
        super().__init__(threads, {})
        self.form, self.first, self.languages = form, [], []

    def transcribe(self, recording) -> str:
        call = "ai_audio_sentences(%s::bytea, 'whisper-base', '{diarization: false}')"
        query = {"FROM": f"SELECT text, language FROM {call}", "cursor": f"SELECT (s).text, (s).language FROM (SELECT {call} AS s) one"}
        wav = recording.wav()
        with self.session.transaction(), psycopg.ClientCursor(self.session) as cursor:
            begin = time.perf_counter()
            cursor.execute(f"DECLARE said CURSOR FOR {query[self.form]}", (wav,))
            rows = cursor.execute("FETCH 1 FROM said").fetchall()
            self.first.append(time.perf_counter() - begin)
            rows += cursor.execute("FETCH ALL FROM said").fetchall()
        self.languages.append({language for _, language in rows})
        return "".join(text for text, _ in rows) if recording.language == "zh" else " ".join(text for text, _ in rows)


class Peer:
    """faster-whisper in a process of its own, so that its memory is its own: requests and answers are lines of JSON."""

    def __init__(self, threads: int, options: dict):
        request = json.dumps({"threads": threads, **options})
        command = [sys.executable, str(HERE / "systems.py"), request]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer = {}

    def transcribe(self, recording) -> str:
        path = HERE.parents[1] / "target/bench/peer.wav"
        path.write_bytes(recording.wav())
        print(json.dumps({"path": str(path), "language": recording.language}), file=self.child.stdin, flush=True)
        self.answer = json.loads(self.child.stdout.readline())
        return self.answer["text"]

    def cpu_seconds(self) -> float:
        return self.answer.get("cpu", 0.0)

    def peak_mb(self) -> float:
        return self.answer.get("peak", 0.0)


def serve(threads: int, beam_size: int, batch_size: int, compute_type: str = "int8"):
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    from peer import weights_folder

    model = WhisperModel(str(weights_folder()), device="cpu", compute_type=compute_type, cpu_threads=threads)
    options = {"beam_size": beam_size}
    if batch_size > 1:
        model, options["batch_size"] = BatchedInferencePipeline(model), batch_size
    for line in sys.stdin:
        request = json.loads(line)
        segments, _ = model.transcribe(request["path"], language=request["language"], **options)
        text = "".join(segment.text for segment in segments)
        use = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"text": text, "cpu": use.ru_utime + use.ru_stime, "peak": use.ru_maxrss / 1024}), flush=True)


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
