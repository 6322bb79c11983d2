"""One arm's turn of the batch benchmark: its program, started, watched, and its output checked."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.arms.arm import ArmError
from benchmarks.batch_arms.plan import Plan
from benchmarks.batch_watch import Watch
from benchmarks.places import BENCHMARKS, PYTHON, venv_python
from benchmarks.processes import ServerProcess

_PROGRAMS = BENCHMARKS / "batch_arms"
_CHECKED = 256
_TOLERANCE = 0.02


@dataclass(frozen=True)
class BatchArm:
    """How one arm is run.

    Attributes:
        label: its name.
        program: in `batch_arms/`.
        kind: as the program has it.
        workers: how many copies compute at once.
        batch: rows of a batch; for a job of ours, of a split (0: its default).
        environment: of the peers; "": ours.
        note: how it is configured.
    """

    label: str
    program: str
    kind: str
    workers: int
    batch: int
    environment: str = ""
    note: str = ""

    def python(self) -> Path:
        """The interpreter; FileNotFoundError, saying which command makes it."""
        return venv_python(self.environment) if self.environment else PYTHON


@dataclass(frozen=True)
class Work:
    """The rows that all arms do: `data`, the model's version folder, the input, how many."""

    data: str
    model: Path
    input: Path
    rows: int
    expected: np.ndarray


def take_turn(arm: BatchArm, work: Work, folder: Path) -> dict[str, float]:
    """Run an arm once; return its figures.

    `rows_s` counts from its first batch on, `whole_rows_s` from when the work was asked for.

    Raises ArmError, with the end of its log, when it fails or its output is wrong.
    """
    output, marks, log = folder / "output", folder / "marks", folder / "log"
    shutil.rmtree(folder, ignore_errors=True)
    marks.mkdir(parents=True)
    plan = Plan(
        work.data,
        str(work.model),
        str(work.input),
        str(output),
        str(marks),
        arm.workers,
        arm.batch,
        arm.kind,
    )
    process = ServerProcess(
        [str(arm.python()), str(_PROGRAMS / arm.program), json.dumps(plan._asdict())],
        log,
        _environment(arm),
        folder,
    )
    with Watch(process) as watch:
        process.start()
        try:
            status = process.wait()
        finally:
            process.stop()
    times = _times(log)
    if status != 0 or times is None:
        raise ArmError(f"{arm.label} ended with {status}; its log ends:\n{process.log_tail()}")
    if output.exists():
        _check(arm, work, output)
    asked, begun, ended = times["asked"], times["begun"], times["ended"]
    return {
        "rows_s": work.rows / (ended - begun),
        "whole_rows_s": work.rows / (ended - asked),
        "start_s": begun - asked,
        "cpu_s": watch.cpu_seconds(begun, ended),
        "peak_rss_mib": watch.peak_rss_mib,
    }


def _environment(arm: BatchArm) -> dict[str, str]:
    return {
        "PYTHONPATH": str(_PROGRAMS),  # for the workers of Ray and Spark
        "PYSPARK_PYTHON": str(arm.python()),
        "PYTHONDONTWRITEBYTECODE": "1",  # the model's folder is left as it is
        "TOKENIZERS_PARALLELISM": "false",  # the workers fill the cores
    }


def _times(log: Path) -> dict[str, float] | None:
    for line in reversed(log.read_text(errors="replace").splitlines()):
        if line.startswith('{"asked"'):
            found: dict[str, float] = json.loads(line)
            return found
    return None


def _check(arm: BatchArm, work: Work, output: Path) -> None:
    """Each row has one answer, and the first ones are those of the bare model."""
    scores = "scores" if work.data == "tweets" else "probabilities"
    files = [path for path in output.rglob("*.parquet") if not path.name.startswith(("_", "."))]
    table = pq.read_table(files, columns=["id", scores]).sort_by("id")
    if not np.array_equal(table["id"].to_numpy(), np.arange(work.rows)):
        raise ArmError(f"{arm.label}: {table.num_rows} rows for {work.rows}, or others")
    found = np.array(table[scores][: len(work.expected)].to_pylist(), dtype=np.float32)
    if not np.allclose(found, work.expected, atol=_TOLERANCE):
        raise ArmError(f"{arm.label}: other scores than the bare model's")


def expected_scores(data: str, model: Path, rows: Path) -> np.ndarray:
    """Return what the bare model says of the first rows, FP32 [256, classes]."""
    sys.path.insert(0, str(_PROGRAMS))
    from benchmarks.batch_arms.bare_models import MODELS
    from benchmarks.batch_arms.floor import to_rows

    first = pq.ParquetFile(sorted(rows.glob("*.parquet"))[0])
    plan = Plan(data, str(model), str(rows), "", "")
    batch = next(first.iter_batches(batch_size=_CHECKED))
    scores: np.ndarray = MODELS[data](str(model))(to_rows(plan, batch))[1]
    return scores
