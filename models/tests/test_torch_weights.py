"""Reading PyTorch checkpoints without PyTorch, good ones and malicious ones."""

import collections
import io
import os
import pickle
import tempfile
import unittest
import zipfile
from pathlib import Path

import numpy as np
import torch_weights


class Named:
    """Pickles as the global of this name, called with arguments."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Storage:
    def __init__(self, key, size, kind="FloatStorage"):
        self.key, self.size, self.kind = key, size, kind


class Writer(pickle._Pickler):
    """A pickler that writes what torch.save writes."""

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", Named("torch", value.kind), value.key, "cpu", value.size)
        return None

    def save(self, value, save_persistent_id=True):
        if not isinstance(value, Named):
            return super().save(value, save_persistent_id)
        self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        if value.arguments:
            super().save(value.arguments)
            self.write(pickle.REDUCE)


def tensor(key, stored, size, stride, offset=0):
    return Named("torch._utils", "_rebuild_tensor_v2", Storage(key, stored), offset, size, stride, False, collections.OrderedDict())


class TorchWeights(unittest.TestCase):
    def load(self, content, storages=None, opaque=frozenset()):
        pickled = io.BytesIO()
        Writer(pickled, protocol=2).dump(content)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("model/data.pkl", pickled.getvalue())
                for key, array in (storages or {}).items():
                    archive.writestr(f"model/data/{key}", array.tobytes())
            return torch_weights.load(path, opaque)

    def test_tensors_are_views_into_storages(self):
        numbers = np.arange(12, dtype=np.float32)
        read = self.load({"a": tensor("0", 12, (3, 4), (4, 1)), "b": tensor("0", 12, (2, 3), (1, 4), 1)}, {"0": numbers})
        np.testing.assert_array_equal(read["a"], numbers.reshape(3, 4))
        np.testing.assert_array_equal(read["b"], [[1, 5, 9], [2, 6, 10]])

    def test_other_names_are_refused(self):
        for module, name in (("os", "system"), ("builtins", "eval"), ("torch", "load"), ("numpy", "load")):
            with self.assertRaisesRegex(pickle.UnpicklingError, f"{module}.{name}.*refused"):
                self.load({"weights": Named(module, name, "echo")})

    def test_opaque_classes_are_not_run(self):
        read = self.load({"x": Named("some.module", "Task", os.getcwd())}, opaque=frozenset({"some.module.Task"}))
        self.assertIsInstance(read["x"], torch_weights.Opaque)

    def test_a_tensor_beyond_its_storage_is_refused(self):
        four = {"0": np.zeros(4, np.float32)}
        for size, stride, offset in (((5,), (1,), 0), ((2, 2), (3, 1), 1), ((2,), (-1,), 1), ((1,), (1,), 4)):
            with self.assertRaises(pickle.UnpicklingError):
                self.load({"a": tensor("0", 4, size, stride, offset)}, four)

    def test_a_short_storage_is_refused(self):
        with self.assertRaisesRegex(pickle.UnpicklingError, "holds 2 elements, 4 are declared"):
            self.load({"a": tensor("0", 4, (4,), (1,))}, {"0": np.zeros(2, np.float32)})

    def test_another_zip_file_is_no_checkpoint(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            zipfile.ZipFile(path, "w").close()
            with self.assertRaisesRegex(ValueError, "no PyTorch checkpoint"):
                torch_weights.load(path)


if __name__ == "__main__":
    unittest.main()
