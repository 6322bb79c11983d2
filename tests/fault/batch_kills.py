"""Kills a batch job at every one of its steps, runs it again, and compares bytes. A program.

It forks a process for each run: the threads of one never see those of another. Prints a line of
JSON: how many steps there are, and what came out wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial, wraps
from pathlib import Path
from typing import Any

from penstock.core.errors import PenstockError
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.retry_dead import retry_dead
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.sinks.file_sink import open_file_sink
from penstock.jobs.batch.spec_outputs import CsvOutput, FileOutput, JsonLinesOutput, ParquetOutput
from penstock.jobs.batch.transform import open_transform
from penstock.testing.fake_batch import (
    DOUBLING,
    FakePredictor,
    FakePredictors,
    FakeSource,
    numbers_table,
)

KILLED = 77
POISON = frozenset((3.0, 17.0, 18.0, 41.0))
FORMATS: dict[str, Callable[[str], FileOutput]] = {
    "parquet": lambda path: ParquetOutput(path=path),
    "csv": lambda path: CsvOutput(path=path),
    "jsonl": lambda path: JsonLinesOutput(path=path),
}


class Steps:
    """Counts steps, and ends the process at one of them. Any thread."""

    def __init__(self, kill_at: int) -> None:
        self._kill_at = kill_at
        self._lock = threading.Lock()
        self.count = 0

    def step(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._kill_at:
                os._exit(KILLED)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A step before and a step after."""

        @wraps(function)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = function(*args, **kwargs)
            self.step()
            return result

        return stepped

    def torn(self, write: Callable[..., int]) -> Callable[..., int]:
        """A write that may be cut off in its midst."""

        def stepped(file: int, data: bytes, offset: int) -> int:
            with self._lock:
                self.count += 1
                if self.count == self._kill_at:
                    write(file, data[: len(data) // 2], offset)
                    os._exit(KILLED)
            return write(file, data, offset)

        return stepped

    def install(self, parts: JobParts) -> JobParts:
        """Have everything that lasts, and every read and prediction, be a step."""
        for name in ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "ftruncate"):
            setattr(os, name, self.around(getattr(os, name)))
        os.pwrite = self.torn(os.pwrite)
        FakePredictor.predict = self.around(FakePredictor.predict)  # type: ignore[method-assign]
        sink = parts.sink
        begin = self.around(sink.open)

        def open_part(*args: Any) -> Any:
            part = begin(*args)
            for name in ("write", "commit", "abort"):
                setattr(part, name, self.around(getattr(part, name)))
            return part

        sink.open = open_part  # type: ignore[method-assign]
        for name in ("begin", "finish", "holds"):
            setattr(sink, name, self.around(getattr(sink, name)))
        read = parts.source.read

        def stepped_read(*args: Any) -> Iterator[Any]:
            for piece in read(*args):
                self.step()
                yield piece

        parts.source.read = stepped_read  # type: ignore[method-assign]
        return parts


def open_job(folder: Path, file_format: str, *, is_sick: bool) -> JobParts:
    """60 rows of two files in splits of 10, a bad row among them, written to files."""
    tables = {"a": numbers_table(0, 35), "b": numbers_table(35, 60)}
    return JobParts(
        source=FakeSource(tables, split_rows=10, bad_rows={("a", 12)}),
        sink=open_file_sink(FORMATS[file_format](str(folder / "out"))),
        predictors=FakePredictors(poison=POISON if is_sick else ()),
        columns=ColumnMap.resolve(DOUBLING, {}),
        open_outputs=partial(OutputColumns.resolve, DOUBLING, keep=("id",)),
        spec_digest="s1",
        state=folder / "state",
        transform=open_transform(None),
    )


def options(workers: int) -> RunOptions:
    return RunOptions(
        batch_rows=4,
        workers=workers,
        policy=FailurePolicy(max_rate=1.0),
        patience=Patience(attempts=1),
    )


def in_fork(work: Callable[[], None]) -> int:
    """Do something in a process of its own; its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except PenstockError as err:
            sys.stderr.write(f"{type(err).__name__}: {err}\n")
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files_of(folder: Path) -> dict[str, bytes]:
    """The whole output, and the dead letters."""
    roots = (folder / "out", folder / "state" / "dead")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def main(folder: Path, file_format: str, mode: str, workers: int) -> dict[str, Any]:
    """Walk all steps.

    Args:
        folder: where; empty.
        file_format: what is written.
        mode: ``run`` a job whose model chokes on some rows; or ``retry`` its dead when it is well.
        workers: copies of the model.
    """
    act, is_sick = (run_job, True) if mode == "run" else (retry_dead, False)
    at_rest = folder / "at-rest"
    at_rest.mkdir()
    if mode == "retry":
        sick = open_job(at_rest, file_format, is_sick=True)
        assert in_fork(lambda: void(run_job(sick, options(workers)))) == 0
    whole = folder / "whole"
    well = open_job(whole, file_format, is_sick=is_sick)
    assert in_fork(lambda: void(run_job(well, options(workers)))) == 0
    expected = files_of(whole)
    wrong: list[str] = []
    kill_at = 0
    while True:
        kill_at += 1
        victim = folder / f"victim-{kill_at}"
        shutil.copytree(at_rest, victim)

        def killed(victim: Path = victim, kill_at: int = kill_at) -> None:
            parts = Steps(kill_at).install(open_job(victim, file_format, is_sick=is_sick))
            act(parts, options(workers))

        def resumed(victim: Path = victim) -> None:
            act(open_job(victim, file_format, is_sick=is_sick), options(workers))

        status = in_fork(killed)
        again = in_fork(resumed)
        if again != 0:
            wrong.append(f"step {kill_at}: the second run ended with {again}")
        elif (got := files_of(victim)) != expected:
            names = {name for name in got | expected if got.get(name) != expected.get(name)}
            wrong.append(f"step {kill_at}: {sorted(names)} differ")
        shutil.rmtree(victim)
        if status == 0:
            break
        if status != KILLED:
            wrong.append(f"step {kill_at}: the first run ended with {status}")
            break
    return {"steps": kill_at - 1, "files": len(expected), "wrong": wrong}


def void(value: object) -> None:
    del value


if __name__ == "__main__":
    with redirect_stderr(sys.stdout):
        told = main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
    sys.stdout.write(json.dumps(told) + "\n")
