"""Graphs come out the same, byte for byte, in every process."""

import os
import subprocess
import sys
import unittest

import numpy as np
from graph import batch_norm, folded

SCRIPT = """
import sys, tempfile
from pathlib import Path
import numpy as np
from graph import Graph, ints
g = Graph("test")
x = g.op("Add", g.op("Mul", "x", np.float32([2])), np.float32([2]))
g.op("Reshape", x, ints(0, -1), output="y")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "a.onnx"
    g.save(path, {"x": ["N", 3]}, {"y": ["N", 3]}, {"b": "2", "a": "1", "c": "3"})
    sys.stdout.buffer.write(path.read_bytes())
"""


class GraphTest(unittest.TestCase):
    def test_bytes_do_not_depend_on_the_process(self):
        made = [
            subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
            for seed in ("1", "2", "3")
        ]
        self.assertEqual(len({run.stdout for run in made}), 1)

    def test_a_folded_convolution_is_the_convolution_and_its_batch_norm(self):
        random = np.random.default_rng(0)
        weights = {f"n.{k}": random.uniform(0.5, 2, 4).astype(np.float32) for k in ("weight", "bias", "running_mean", "running_var")}
        weights["c.weight"] = random.standard_normal((4, 3, 1)).astype(np.float32)
        x = random.standard_normal((3, 7))
        scale, shift = batch_norm(weights, "n")
        expected = scale[:, None] * (weights["c.weight"][:, :, 0] @ x) + shift[:, None]
        weight, bias = folded(weights, "c", "n")
        np.testing.assert_allclose(weight[:, :, 0] @ x + bias[:, None], expected, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
