"""PyTorch: a stack of linear layers as TorchScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.engines.engine import BATCH_ROWS, Engine

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 1024
LAYERS = 6


def make(version: Path) -> Engine:
    """Save the traced stack; run it in inference mode with one thread."""
    torch.manual_seed(0)
    layers = [torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU())] * LAYERS
    model = torch.nn.Sequential(*layers).eval()
    path = version / "model.pt"
    torch.jit.trace(model, torch.zeros(2, WIDTH)).save(str(path))
    loaded = torch.jit.load(str(path)).eval()
    array = np.random.default_rng(1).normal(size=(BATCH_ROWS, WIDTH)).astype(np.float32)

    def run() -> object:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return loaded(torch.from_numpy(array)).numpy()

    inputs = [{"name": "input", "datatype": "FP32", "shape": [-1, WIDTH]}]
    return Engine({"input": array}, run, {"signature": {"inputs": inputs}})
