"""Batch jobs: the bare models, Penstock, Ray Data and Spark on the same rows, side by side.

``python -m benchmarks.batch`` writes benchmarks/results/batch.json, .md and .svg. Two workloads:
the tweet model over `--texts` texts, and boosted trees (`benchmarks.models.make_trees`) over
`--rows` rows of 20 numbers; both from Parquet to Parquet. Needs ``python -m benchmarks.venvs
batch_peers`` and Java 17. `--memory GIB` measures instead what a job holds over an input of that
size, and writes batch_memory.json and .md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.batch_data import MAKERS
from benchmarks.batch_memory import measure_memory
from benchmarks.batch_report import batch_markdown, ratios, summarise
from benchmarks.batch_turn import BatchArm, Work, expected_scores, take_turn
from benchmarks.models.make_trees import TARGET, make_trees
from benchmarks.places import PYTHON, ROOT, newest_onnx, venv_python, without_root
from benchmarks.report import write_result
from benchmarks.venvs import install_tools

BATCHES = {"tweets": (64, 256, 1024), "tabular": (1024, 8192, 65536)}
TRIAL_PART = {"tweets": 12, "tabular": 8}
LEAST_SPLITS = 16
PEERS = ["ray", "pyspark", "pyarrow", "onnxruntime", "tokenizers", "pandas"]
OURS = ["pyarrow", "onnxruntime", "tokenizers", "numpy"]


class BatchWorkload:
    """One model and its rows; runs the arms in turns, and keeps what each round found."""

    def __init__(self, data: str, rows: int, cores: int, folder: Path) -> None:
        self._data, self._rows, self._cores = data, rows, cores
        self._folder = folder / data
        self.trials: dict[str, float] = {}
        self.rounds: list[dict[str, dict[str, float]]] = []
        self.left_out: dict[str, str] = {}
        self.arms: list[BatchArm] = []

    def prepare(self) -> None:
        """Make the rows, and find the batch size and the kind of workers that suit the floor."""
        if self._data == "tabular" and not TARGET.exists():
            make_trees(TARGET)
        onnx = newest_onnx(ROOT / "models" / "tweet-sentiment")
        model = (onnx if self._data == "tweets" else TARGET).parent
        self.work = self._made("rows", self._rows, model)
        trial = self._made("trial", max(1, self._rows // TRIAL_PART[self._data]), model)
        kinds = ["threads", "processes"] if self._cores > 1 else ["threads"]
        floors = [
            BatchArm("floor", "floor.py", kind, self._cores, batch)
            for batch in BATCHES[self._data]
            for kind in kinds
        ]
        found = [self._try(floor, trial) for floor in floors]
        again = [self._try(floor, trial) for floor in reversed(floors)]
        for floor, *both in zip(floors, found, reversed(again), strict=True):
            self.trials[f"{floor.kind} {floor.batch}"] = mean(both)
        best = max(self.trials, key=lambda key: self.trials[key])
        self.arms = self._arms(best.split()[0], int(best.split()[1]))

    def _try(self, arm: BatchArm, trial: Work) -> float:
        rows_s = take_turn(arm, trial, self._folder / "turn")["rows_s"]
        print(f"{self._data} floor {arm.kind} {arm.batch}: {rows_s:,.0f}/s", flush=True)
        return rows_s

    def _made(self, name: str, rows: int, model: Path) -> Work:
        target = self._folder / name
        MAKERS[self._data](target, rows)
        return Work(self._data, model, target, rows, expected_scores(self._data, model, target))

    def _arms(self, kind: str, batch: int) -> list[BatchArm]:
        cores, peers = self._cores, "batch_peers"
        split = min(100_000, max(1, self._rows // LEAST_SPLITS))
        loop = f"the model in a loop over arrays in memory, {batch} rows a batch"
        files = f"pyarrow reads 65,536 rows, the model in batches of {batch}, pyarrow writes them"
        job = f"a job from Parquet to Parquet, batch size auto, splits of {split:,} rows"
        job += ", max_batch_size 512" if self._data == "tweets" else ""
        ray = f"read_parquet, map_batches with an actor each, {batch} rows a batch, write_parquet"
        spark = f"local[{cores}], {batch} rows an Arrow batch"
        arms = [
            BatchArm("floor-1", "floor.py", "threads", 1, batch, "", loop),
            BatchArm(f"floor-{cores}", "floor.py", kind, cores, batch, "", f"{loop}, {kind}"),
            BatchArm("files-1", "floor.py", "files", 1, batch, "", f"one thread: {files}"),
            BatchArm("penstock-1", "penstock_job.py", "local", 1, split, "", job),
            BatchArm(f"penstock-{cores}", "penstock_job.py", "local", cores, split, "", job),
            BatchArm("penstock-processes", "penstock_job.py", "processes", cores, split, "", job),
            BatchArm("ray-data", "ray_data.py", "actors", cores, batch, peers, ray),
            BatchArm("spark-pandas", "spark.py", "pandas", cores, batch, peers, spark),
            BatchArm("spark-udf", "spark.py", "udf", cores, batch, peers, spark),
        ]
        is_light = self._data == "tabular"  # elsewhere reading and writing take no time
        return [arm for arm in arms if is_light or arm.label != "files-1"]

    def run_round(self, wanted: list[str]) -> None:
        """Give each arm its turn; each round begins with another one."""
        number, found = len(self.rounds), {}
        arms = [arm for arm in self.arms if not wanted or arm.label in wanted]
        turn = number * 2 % len(arms)
        for arm in arms[turn:] + arms[:turn]:
            if arm.label in self.left_out:
                continue
            try:
                found[arm.label] = take_turn(arm, self.work, self._folder / "turn")
            except (ArmError, OSError, RuntimeError, ValueError) as error:
                self.left_out[arm.label] = without_root(f"{type(error).__name__}: {error}")
                print(f"LEFT OUT {arm.label}: {error}", flush=True)
                continue
            figures = " ".join(f"{name} {value:,.1f}" for name, value in found[arm.label].items())
            print(f"{self._data} round {number + 1} {arm.label}: {figures}", flush=True)
        self.rounds.append(found)

    def result(self) -> dict:
        """Return what is written of it."""
        return {
            "rows": self._rows,
            "model": without_root(str(self.work.model)),
            "trials": self.trials,
            "arms": summarise(self.rounds),
            "ratios": ratios(self.rounds, self._cores),
            "notes": {arm.label: f"{arm.workers} at once; {arm.note}" for arm in self.arms},
            "left_out": self.left_out,
            "rounds": self.rounds,
        }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; exits with a message on a wrong one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="tweets,tabular", help="commas between")
    parser.add_argument("--texts", type=int, default=100_000, help="of the tweet model")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the tabular model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--arms", default="", help="commas between; all where none is said")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; no round begins then")
    parser.add_argument("--memory", type=float, metavar="GIB", help="measure memory instead")
    parser.add_argument("--name", default="batch", help="of the result files")
    parser.add_argument("--folder", type=Path, help="where rows are made; default: a temporary one")
    given = parser.parse_args(arguments)
    given.data = [name for name in given.data.split(",") if name]
    given.arms = [name for name in given.arms.split(",") if name]
    if not given.data or set(given.data) - set(MAKERS):
        parser.error(f"--data: expected some of {', '.join(MAKERS)}")
    return given


def run(given: argparse.Namespace, folder: Path) -> bool:
    """Run all rounds and write the files; False when an arm was left out."""
    started = time.monotonic()
    document = machine.heading_fields(given.name, "batch")
    sizes = {"tweets": given.texts, "tabular": given.rows}
    workloads = {
        data: BatchWorkload(data, sizes[data], given.workers, folder) for data in given.data
    }
    for workload in workloads.values():
        workload.prepare()
    longest, done = 0.0, 0
    for _ in range(given.rounds):
        begun = time.monotonic()
        if begun - started + longest > given.limit:
            print(f"no further round: {given.limit:.0f} s are nearly over", flush=True)
            break
        for workload in workloads.values():
            workload.run_round(given.arms)
        done += 1
        longest = max(longest, time.monotonic() - begun)
    document |= {
        "how": f"{done} rounds, arms interleaved" if done > 1 else "1 round",
        "workloads": {data: workload.result() for data, workload in workloads.items()},
        "took_s": round(time.monotonic() - started, 1),
        "versions": {
            "penstock": machine.versions(PYTHON, OURS),
            "peers": machine.versions(venv_python("batch_peers"), PEERS),
        },
        "load_average_at_end": machine.describe()["load_average_at_start"],
    }
    write_result(document, batch_markdown, picture="batch_picture.py")
    return not any(workload.left_out for workload in workloads.values())


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when an arm was left out or failed, 130 when interrupted."""
    given = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-batch-", dir=given.folder) as folder:
            if given.memory is not None:
                return 0 if measure_memory(given.memory, Path(folder), given.name) else 1
            install_tools()
            return 0 if run(given, Path(folder)) else 1
    except (FileNotFoundError, RuntimeError, ArmError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was started is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
