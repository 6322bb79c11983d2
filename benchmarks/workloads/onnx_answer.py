"""What a model file itself says of one sample, asked in a process of its own.

``python onnx_answer.py MODEL INPUTS.npz OUTPUTS.npz`` runs ONNX Runtime once on the CPU.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.workloads.workload import Tensors


def onnx_answer(onnx: Path, sample: Tensors) -> Tensors:
    """Return every output of the ONNX file `onnx` for `sample`.

    Raises FileNotFoundError without the file, RuntimeError when the model fails.
    """
    if not onnx.exists():
        raise FileNotFoundError(f"{onnx} is not there")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, allow_pickle=False, **sample)
        command = [sys.executable, __file__, str(onnx), str(given), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the bare model failed: {done.stderr.strip()[-300:]}")
        with np.load(found) as arrays:
            return dict(arrays)


def main(model: str, inputs: str, outputs: str) -> None:
    """Run the model on the arrays of a file and write its outputs to another."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with np.load(inputs) as arrays:
        answers = session.run(names, dict(arrays))
    np.savez(outputs, allow_pickle=False, **dict(zip(names, answers, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
