"""Runtimes: how much of each framework's bare loop at batch 32 is left when it is served?

For each runtime whose framework this environment has (`make test-frameworks` makes one with all):
a model of a few milliseconds a batch, made by `benchmarks/engines/RUNTIME_engine.py`, in a fresh
process. The arms take turns in it, each with one engine thread: the framework's own call on one
batch, again and again; `penstock.serving` with 64 requests of one row in flight, which it merges
into batches of at most 32; the same with 4 requests of 32 rows, which it passes on as they are.
Writes benchmarks/results/runtimes.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from benchmarks import machine
from benchmarks.engines.engine import BATCH_ROWS
from benchmarks.percentiles import spread
from benchmarks.places import BENCHMARKS, ROOT, without_root
from benchmarks.report import cell, heading, write_result

if TYPE_CHECKING:
    from benchmarks.engines.engine import Engine
    from penstock.app.embedded import Models

MODEL = "measured"
LOADS = {"one row": (64, 1), "32 rows": (4, BATCH_ROWS)}  # requests in flight, rows of each
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
PACKAGES = (
    "penstock",
    "numpy",
    "onnxruntime",
    "torch",
    "openvino",
    "tensorflow-cpu",
    "scikit-learn",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "transformers",
    "mlflow-skinny",
)
LIMIT_S = 600


def bare_rows_s(engine: Engine, duration_s: float) -> float:
    """Return the rows per second of the framework's own call in a loop."""
    engine.run()
    batches, started = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - started) < duration_s:
        engine.run()
        batches += 1
    return batches * BATCH_ROWS / elapsed_s


async def served_rows_s(
    models: Models, engine: Engine, load: tuple[int, int], duration_s: float
) -> float:
    """Return the rows per second of requests that follow on each other, `load` at a time."""
    in_flight, rows = load
    answered = 0
    end = time.perf_counter() + duration_s

    async def ask(first: int) -> None:
        nonlocal answered
        start = first * rows % BATCH_ROWS
        inputs = {name: array[start : start + rows] for name, array in engine.inputs.items()}
        while time.perf_counter() < end:
            await models.infer(MODEL, **inputs)
            answered += rows

    started = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(in_flight)))
    return answered / (time.perf_counter() - started)


async def measure(name: str, rounds: int, duration_s: float) -> dict[str, list[float]]:
    """Return each arm's rows per second in each round, for one runtime in this process."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / MODEL
        version = model / "1"
        version.mkdir(parents=True)
        engine = importlib.import_module(f"benchmarks.engines.{name}_engine").make(version)
        manifest = {"max_batch_size": BATCH_ROWS, **engine.manifest}
        (model / "model.yaml").write_text(yaml.safe_dump(manifest))
        import penstock

        found: dict[str, list[float]] = {arm: [] for arm in ("bare", *LOADS)}
        async with penstock.serving(model) as models:
            for load in LOADS.values():
                await served_rows_s(models, engine, load, duration_s / 4)
            for number in range(rounds):
                arms = list(found)
                for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                    if arm == "bare":
                        rate = await asyncio.to_thread(bare_rows_s, engine, duration_s)
                    else:
                        rate = await served_rows_s(models, engine, LOADS[arm], duration_s)
                    found[arm].append(rate)
        return found


def run_apart(name: str, rounds: int, duration_s: float) -> dict[str, object]:
    """Measure one runtime in a process of its own; `left_out` says why there are no figures."""
    command = [sys.executable, "-m", "benchmarks.runtimes", "--one", name]
    command += ["--rounds", str(rounds), "--duration", str(duration_s)]
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return {"left_out": without_root(reason)}
    return summarise(json.loads(done.stdout.splitlines()[-1]))


def summarise(found: dict[str, list[float]]) -> dict[str, object]:
    """Return the spread of each arm, and of each served one's share of the bare loop."""
    bare = found["bare"]
    figures: dict[str, object] = {
        "bare_rows_s": spread(bare),
        "bare_batch_ms": spread([BATCH_ROWS / rate * 1e3 for rate in bare]),
    }
    for load in LOADS:
        figures[f"{load}, rows_s"] = spread(found[load])
        shares = [served / alone for served, alone in zip(found[load], bare, strict=True)]
        figures[f"{load}, share"] = spread(shares)
    return figures


def to_markdown(document: dict) -> str:
    """Return the markdown page of a result."""
    loads = [f"{load}: {what}" for load in LOADS for what in ("rows/s", "share of bare")]
    lines = [heading(document), "| " + " | ".join(["runtime", "bare ms a batch", *loads]) + " |"]
    lines.append("|---" * (2 + len(loads)) + "|")
    for name, arm in document["runtimes"].items():
        if "left_out" not in arm:
            keys = [f"{load}, {what}" for load in LOADS for what in ("rows_s", "share")]
            cells = [cell(arm[key]) for key in ("bare_batch_ms", *keys)]
            lines.append("| " + " | ".join([name, *cells]) + " |")
    left_out = {n: a["left_out"] for n, a in document["runtimes"].items() if "left_out" in a}
    lines += [f"\nLeft out: {name}: {reason}" for name, reason in left_out.items()]
    return "\n".join(lines) + "\n"


def engine_names() -> list[str]:
    """Return the runtimes that have an engine here."""
    files = (BENCHMARKS / "engines").glob("*_engine.py")
    return sorted(path.stem.removesuffix("_engine") for path in files)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="runtimes, separated by commas; all of them unless told")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds an arm and round")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure, print a line for each runtime and write the result; 1 if one was left out."""
    given = _parse()
    if given.one:
        print(json.dumps(asyncio.run(measure(given.one, given.rounds, given.duration))))
        return 0
    rounds, duration_s = (1, 1.0) if given.quick else (given.rounds, given.duration)
    found = {}
    for name in given.only.split(",") if given.only else engine_names():
        found[name] = run_apart(name, rounds, duration_s)
        print(name, {k: v["median"] if k != "left_out" else v for k, v in found[name].items()})
    how = f"rounds of each arm in turn: {rounds}, {duration_s:g} s each, one engine thread"
    document: dict = {
        **machine.heading_fields("runtimes-quick" if given.quick else "runtimes", "runtimes"),
        "how": how,
        "versions": machine.versions(Path(sys.executable), list(PACKAGES)),
        "runtimes": found,
    }
    write_result(document, to_markdown, picture=None)
    return 1 if any("left_out" in arm for arm in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
