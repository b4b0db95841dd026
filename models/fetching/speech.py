"""The speech clips that speech.toml lists: cut, written as WAV and described in index.json."""

import json
import shutil
import tomllib
import wave
from pathlib import Path

from .files import is_right, place, sha256
from .packages import Packages
from .report import say

LIST = Path(__file__).resolve().parent.parent / "speech.toml"
RAW_RATE = 16000  # of the headerless recordings: 16-bit mono
DESCRIPTION = ("speaker", "speakers", "language", "text", "licence", "credit")


def listed() -> list[dict]:
    """Every clip: its name, what describes it, its package and path there. Without apt-get, none from Debian."""
    table = tomllib.loads(LIST.read_text())
    clips = [{**whole, "name": whole["name"], "path": whole["from"]} for whole in table["whole"]]
    for group in table["group"]:
        for number, clip in enumerate(group["clips"], 1):
            name, path = f"{group['prefix']}-{number}.wav", f"{group['folder']}/{clip['from']}"
            clips.append({**group, **clip, "name": name, "path": path})
    registry = {package["name"]: package["registry"] for package in table["package"]}
    apt = shutil.which("apt-get") is not None
    return [clip for clip in clips if apt or registry.get(clip["package"]) != "debian"]


def packages() -> list[dict]:
    return tomllib.loads(LIST.read_text())["package"]


def is_complete(folder: Path) -> bool:
    """Whether every clip is there, unaltered, and made from this very list."""
    try:
        index = json.loads((folder / "index.json").read_text())
        files = [(folder / file["path"], file["bytes"], file["sha256"]) for file in index["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return index.get("list_sha256") == sha256(LIST) and all(is_right(*file) for file in files)


def fetch(packages: Packages, folder: Path, scratch: Path):
    """Makes every clip, then the index: an interrupted run leaves no index and is repeated."""
    if not shutil.which("apt-get"):
        say("no apt-get here: the clips from Debian's packages are left out, and tests that want them will fail")
    made = scratch / "made-speech"
    made.mkdir()
    entries = []
    for clip in listed():
        path = made / clip["name"]
        write(packages.member(clip["package"], clip["path"]), path, clip)
        place(path, folder / clip["name"])
        entries.append(entry(clip, path))
    index = made / "index.json"
    index.write_text(json.dumps({"list_sha256": sha256(LIST), "files": entries}, indent=1, ensure_ascii=False) + "\n")
    place(index, folder / "index.json")
    say(f"{len(entries)} speech files are in {folder}")


def write(source: Path, path: Path, clip: dict):
    """Copies a recording; a part of one, or one without a header, becomes a WAV file of its own."""
    if source.suffix == ".raw":
        write_wav(path, RAW_RATE, source.read_bytes())
    elif "start" in clip:
        with wave.open(str(source)) as recording:
            rate = recording.getframerate()
            recording.setpos(round(clip["start"] * rate))
            write_wav(path, rate, recording.readframes(round((clip["end"] - clip["start"]) * rate)))
    else:
        path.write_bytes(source.read_bytes())


def write_wav(path: Path, rate: int, frames: bytes):
    with wave.open(str(path), "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", None))
        clip.writeframes(frames)


def entry(clip: dict, path: Path) -> dict:
    """What index.json says of a clip."""
    about = {"path": clip["name"], **{key: clip[key] for key in DESCRIPTION if key in clip}}
    if path.suffix == ".wav":
        with wave.open(str(path)) as recording:
            about["sample_rate"] = recording.getframerate()
            about["duration_ms"] = round(1000 * recording.getnframes() / recording.getframerate())
    return {**about, "source": f"{clip['package']}: {clip['path']}", "bytes": path.stat().st_size, "sha256": sha256(path)}
