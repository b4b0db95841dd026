"""Reads the tensors of a PyTorch checkpoint without PyTorch.

A checkpoint is a zip archive: `<name>/data.pkl` describes the objects, `<name>/data/<key>` holds each storage's raw
little-endian bytes. A pickle can name any function to be called, so the reader resolves only the few names that a
state dict of tensors needs and refuses every other one.
"""

import collections
import pickle
import zipfile
from pathlib import Path

import numpy as np

STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class Opaque:
    """Stands for an object of a class that is not needed; holds its state, runs nothing of it."""

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        self.state = state


def rebuild_tensor(storage, offset, size, stride, *_):
    """A tensor as a contiguous copy of a strided view into its storage; the view must lie inside it."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise pickle.UnpicklingError(f"tensor with impossible size {size}, stride {stride} or offset {offset}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if 0 in size:
        return np.zeros(size, storage.dtype)
    if last >= storage.size:
        raise pickle.UnpicklingError(f"tensor of size {size} reaches beyond its storage of {storage.size} elements")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


class Reader(pickle.Unpickler):
    """An unpickler that knows tensors, ordered dicts and, as opaque objects, the classes in `opaque`."""

    def __init__(self, archive: zipfile.ZipFile, root: str, opaque: frozenset[str]):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root, self.opaque = archive, root, opaque

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if f"{module}.{name}" in self.opaque:
            return Opaque
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which no state dict needs: refused")

    def persistent_load(self, pid):
        kind, dtype, key, _device, size = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"unknown kind of persistent object: {kind!r}")
        storage = np.frombuffer(self.archive.read(f"{self.root}/data/{key}"), dtype)
        if storage.size < size:
            raise pickle.UnpicklingError(f"storage {key} holds {storage.size} elements, {size} are declared")
        return storage


def load(path: Path, opaque: frozenset[str] = frozenset()):
    """The object that `torch.save` wrote to `path`, its tensors as numpy arrays."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{path} is no PyTorch checkpoint: it holds {len(pickles)} data.pkl")
        return Reader(archive, pickles[0].rpartition("/")[0], opaque).load()
