"""The floor of each workload: its model in a bare loop, with no server and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.floor import measure_floor
from benchmarks.arms.minilm import FLOOR_CHOICES, SINGLE, SINGLE_AS_SERVED, measure
from benchmarks.workloads.bare import measure_bare

if TYPE_CHECKING:
    from benchmarks.arms.minilm import FloorChoice
    from benchmarks.workloads.workload import Workload

TRIAL_SHARE = 0.4  # of a load's duration, for each way of looping that the first round tries
BATCHES = (1, 32)


class Floor:
    """Measures the floor of one workload, round after round.

    For `minilm` the first round tries every way of looping over the engine, and the best is
    measured from then on; `trials` keeps what each brought.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._best: FloorChoice | None = None
        self.trials: dict[str, float] = {}

    @property
    def note(self) -> str:
        """How the loop is made."""
        if self._workload.name == "minilm":
            return f"ONNX Runtime in the best of {len(FLOOR_CHOICES)} loops: {self._best}"
        if self._workload.onnx is not None:
            return "ONNX Runtime in a loop, 1 intra-op thread, no server"
        return f"the function in a loop, no server, {self._workload.processes} process(es)"

    def round(self, duration_s: float) -> dict:
        """Return `items_s` by loop and, for `minilm`, the time of a single execution in ms.

        Raises RuntimeError when a loop fails.
        """
        if self._workload.name == "minilm":
            return self._minilm(duration_s)
        onnx = self._workload.onnx
        if onnx is None:
            return {"items_s": {"batch 1": measure_bare(self._workload, duration_s)}}
        rates = {f"batch {batch}": measure_floor(onnx, batch, duration_s) for batch in BATCHES}
        return {"items_s": rates}

    def _minilm(self, duration_s: float) -> dict:
        if self._best is None:
            trial_s = max(1.0, duration_s * TRIAL_SHARE)
            for choice in FLOOR_CHOICES:
                self.trials[str(choice)] = measure(choice, trial_s)["sentences_s"]
            self._best = max(FLOOR_CHOICES, key=lambda choice: self.trials[str(choice)])
        return {
            "items_s": {"best loop": measure(self._best, duration_s)["sentences_s"]},
            "single_ms": measure(SINGLE, duration_s)["run_median_ms"],
            "single_as_served_p99_ms": measure(SINGLE_AS_SERVED, duration_s)["run_p99_ms"],
        }
