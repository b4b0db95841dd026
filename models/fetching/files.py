"""Files: checked, and written whole or not at all."""

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from .report import Failure


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_right(path: Path, size: int, digest: str) -> bool:
    """Whether the file is there and is what was pinned."""
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def check(path: Path, digest: str, what: str):
    found = sha256(path)
    if found != digest:
        raise Failure(
            f"{what} is not the pinned one: sha256 {found}, expected {digest}",
            "If a registry or a proxy altered it, fetch it again from another network.",
            "If the manifest or a converter was changed on purpose, see models/README.md, 'Adding a model'.",
        )


def place(source: Path, destination: Path):
    """Copies, then renames: a reader sees the old file or the new one."""
    temporary = destination.with_name(f".{destination.name}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        os.replace(temporary, destination)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(error, destination) from error


def cannot_write(error: OSError, path: Path) -> Failure:
    """What to tell the user when writing `path` failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(f"no space left for {path}", "Free about 1 GB there, or choose other folders with --out and --target.")
    return Failure(f"cannot write {path}: {error.strerror}", "Make the folder writable, or choose others with --out and --target.")


def scratch_folder(target: Path):
    """A folder beside the results, so that no system's /tmp fills up; gone afterwards."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="fetch-", dir=target)
    except OSError as error:
        raise cannot_write(error, target) from error
