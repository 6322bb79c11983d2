"""A workload: one model, the rows that are sent to it, and what it must answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Tensors = dict[str, np.ndarray]
"""Tensors by name; the first axis is the batch."""


@dataclass(frozen=True)
class Workload:
    """What an arm has to serve, and what it is then asked.

    `model` is the model's name in a request. `onnx` is the file that the arm opens; None where the
    model is Python code. `outputs` is the names of the outputs. Each of `samples` is one row;
    `expected` is the answer to the first, which an arm has to meet within `tolerance`.
    `max_batch_size` and `processes` are what an arm that has such a setting is given.
    `encodings` is the forms of a request that are loaded, of "json", "binary" and "grpc"; an arm
    speaks some of them.
    """

    name: str
    model: str
    what: str
    onnx: Path | None
    outputs: tuple[str, ...]
    samples: tuple[Tensors, ...]
    expected: Tensors
    encodings: tuple[str, ...]
    max_batch_size: int = 1
    processes: int = 1
    tolerance: float = 1e-4

    def difference(self, answer: Mapping[str, np.ndarray]) -> str | None:
        """Return how `answer` differs from `expected`, None when it is right.

        Values are compared, not shapes or datatypes: an arm with a format of its own may drop
        the batch axis.
        """
        for name in self.outputs:
            if name not in answer:
                return f"no output {name!r}, only {sorted(answer)}"
            got = np.asarray(answer[name], np.float64).ravel()
            wanted = self.expected[name].astype(np.float64).ravel()
            if got.size != wanted.size:
                return f"{name} has {got.size} values, expected {wanted.size}"
            far = float(np.abs(got - wanted).max())
            if not far <= self.tolerance:
                return f"{name} is {far:g} off"
        return None
