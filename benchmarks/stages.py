"""What stages on threads of their own bring, and where they cost.

A Python model waits 5 ms for each batch in ``preprocess``, as one does for a store across the
network, and computes about 2 ms in ``predict``, in NumPy, which lets go of the interpreter's lock;
both whatever the batch holds. Measured in turn over the rounds, inside one process and without
sockets: one copy, one copy with ``stages: {preprocess: {count: 4}}``, and three copies, each at
most 1, 8 and 32 rows a batch, with 32 requests of one row in flight. Writes
benchmarks/results/stages.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.percentiles import percentile, spread
from benchmarks.report import cell, heading, write_result

IN_FLIGHT = 32
LAYOUTS: dict[str, dict] = {
    "one copy": {},
    "one copy, stages": {"stages": {"preprocess": {"count": 4}}},
    "three copies": {"instances": {"count": 3}},
}
BATCH_ROWS = (1, 8, 32)
MODEL = '''
import time

import numpy as np
import penstock
from penstock import Rows

WAIT_S = 0.005
COMPUTE_S = 0.002


class Fetches(penstock.Model):
    """Waits, then multiplies."""

    def load(self, context: penstock.ModelContext) -> None:
        self._weights = np.random.default_rng(0).random((256, 256), np.float32)
        self._times = 1
        taken_s = min(self._multiplying_s() for _ in range(20))
        self._times = max(1, round(COMPUTE_S / taken_s))

    def preprocess(self, x: Rows["FP32", 4]):
        time.sleep(WAIT_S)
        return x

    def predict(self, x) -> Rows["FP32", 4]:
        self._multiply()
        return x

    def _multiplying_s(self) -> float:
        started = time.perf_counter()
        self._multiply()
        return time.perf_counter() - started

    def _multiply(self) -> None:
        for _ in range(self._times):
            self._weights @ self._weights
'''


def names() -> list[tuple[str, str, int]]:
    """Each model, its layout and the rows of its batches."""
    return [
        (f"{layout.replace(', ', '-').replace(' ', '-')}-{rows}", layout, rows)
        for rows in BATCH_ROWS
        for layout in LAYOUTS
    ]


def make_models(repository: Path) -> None:
    """Write a folder for each model."""
    for name, layout, rows in names():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(MODEL)
        manifest = {"max_batch_size": rows, **LAYOUTS[layout]}
        (repository / name / "model.yaml").write_text(json.dumps(manifest))


async def load(models: object, name: str, duration_s: float) -> dict[str, float]:
    """Keep 32 requests in flight; req_s, p50_ms and p99_ms."""
    import numpy as np

    row = np.ones((1, 4), np.float32)
    latencies: list[float] = []
    started = time.perf_counter()

    async def one_client() -> None:
        while (sent := time.perf_counter()) - started < duration_s:
            await models.infer(name, x=row)
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(one_client() for _ in range(IN_FLIGHT)))
    taken = time.perf_counter() - started
    ordered = sorted(latencies)
    return {
        "req_s": len(ordered) / taken,
        "p50_ms": percentile(ordered, 0.5) * 1e3,
        "p99_ms": percentile(ordered, 0.99) * 1e3,
    }


async def measure(rounds: int, duration_s: float) -> list[dict]:
    """Load every model in turn, in each round."""
    import penstock

    found = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as text:
        make_models(Path(text))
        async with penstock.serving(text, settings={"model_control": "none"}) as models:
            for number in range(rounds):
                one = {}
                for name, _, _ in names():
                    await load(models, name, duration_s / 5)  # threads start
                    one[name] = await load(models, name, duration_s)
                    print(f"round {number + 1} {name}: {one[name]['req_s']:.0f}/s", flush=True)
                found.append(one)
    return found


def gains(rounds: list[dict]) -> dict[str, dict]:
    """What the other layouts do beside one copy, within each round."""
    rate = {(layout, rows): name for name, layout, rows in names()}
    return {
        f"{layout} / one copy, at most {rows} rows a batch": spread(
            [
                one[rate[layout, rows]]["req_s"] / one[rate["one copy", rows]]["req_s"]
                for one in rounds
            ]
        )
        for rows in BATCH_ROWS
        for layout in list(LAYOUTS)[1:]
    }


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    lines = [heading(document), "| throughput | ratio |", "|---|---|"]
    lines += [f"| {name} | {cell(figure)} |" for name, figure in document["gains"].items()]
    lines += ["", "| layout | rows a batch, at most | requests/s | p50 ms | p99 ms |"]
    lines += ["|---|---|---|---|---|"]
    for name, layout, rows in names():
        loads = [one[name] for one in document["rounds"]]
        cells = [cell(spread([x[k] for x in loads])) for k in ("req_s", "p50_ms", "p99_ms")]
        lines.append(f"| {layout} | {rows} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=0.4, help="seconds a load")
    given = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is first imported
    rounds = asyncio.run(measure(given.rounds, given.duration))
    document = machine.heading_fields("stages", "wait 5 ms, then compute about 2 ms, a batch")
    document["settings"] = {**vars(given), "in_flight": IN_FLIGHT}
    document["how"] = (
        f"{given.rounds} rounds, layouts in turn, {given.duration:g} s a load, {IN_FLIGHT} "
        "requests in flight, no sockets"
    )
    document["rounds"] = rounds
    document["gains"] = gains(rounds)
    write_result(document, markdown, picture=None)
    for name, figure in document["gains"].items():
        print(f"{name}: {cell(figure)}")


if __name__ == "__main__":
    main()
