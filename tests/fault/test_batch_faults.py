"""What breaks under a batch job: disks, workers, rows among many; and what it holds meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from penstock.core.errors import Cancelled, ConfigError, JobFailed, LoadFailed
from penstock.jobs.batch.engine_processes import run_in_processes
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.progress import Progress
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.split import Split
from penstock.jobs.batch.status import read_status
from penstock.testing.fake_batch import FakePredictors, FakeSink, FakeSource, numbers_table
from tests.fault.batch_child import open_job
from tests.fault.batch_kills import files_of
from tests.unit.jobs.batch.fake_job import AT_ONCE, fake_job, ids

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

LENIENT = RunOptions(batch_rows=8, patience=AT_ONCE, policy=FailurePolicy(max_rate=1.0))


def test_a_disk_that_takes_no_more_stops_the_job_and_leaves_it_resumable(tmp_path: Path) -> None:
    """The kernel refuses to let any file grow: parts fail half-way, as on a full disk."""
    whole, victim = tmp_path / "whole", tmp_path / "victim"
    run_job(open_job(whole, 0.0), LENIENT)
    args = [sys.executable, "-m", "tests.fault.batch_child", str(victim), "local"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    done = subprocess.run(
        args, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "JobOutputError" in done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert not (victim / "out" / "_SUCCESS").exists()
    run_job(open_job(victim, 0.0), LENIENT)
    assert files_of(victim) == files_of(whole)


def test_a_model_that_fails_on_1_row_in_10000(tmp_path: Path) -> None:
    poison = set(map(float, range(77, 200_000, 10_000)))
    source = FakeSource({"a": numbers_table(0, 200_000)}, split_rows=50_000)
    sink, model = FakeSink(), FakePredictors(poison=poison)
    options = RunOptions(batch_rows=256, policy=FailurePolicy(max_rate=0.0001))

    report = run_job(fake_job(tmp_path, source, sink, model), options)

    assert report.tally.rows_dead == 20
    assert sorted({*range(200_000)} - {*ids(sink)}) == sorted(map(int, poison))
    searches = 20 * 2 * 8  # 2 log2(256) for each
    assert len(model.batches) <= 4 * -(-50_000 // 256) + searches


class Endless:
    """A source of one large split whose rows are made as they are read."""

    def __init__(self, pieces: int, rows: int) -> None:
        self._pieces = pieces
        self._batch = pa.RecordBatch.from_pydict(
            {"id": pa.array(range(rows)), "x": [0.5] * rows, "text": ["x" * 1000] * rows}
        )

    def schema(self) -> pa.Schema:
        return self._batch.schema

    def plan(self) -> Iterator[Split]:
        for at in range(2):
            yield Split(f"endless-{at}", "1")

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        rows = self._batch.num_rows
        for at in range(self._pieces):
            copy = pa.RecordBatch.from_arrays(
                [pa.concat_arrays([column, column.slice(0, 0)]) for column in self._batch.columns],
                schema=self._batch.schema,
            )
            yield ReadRows(at * rows, copy)

    def close(self) -> None:
        pass


class Nowhere(FakeSink):
    """Takes rows, and keeps none."""

    def open(self, split_id: str, schema: pa.Schema) -> object:  # type: ignore[override]
        part = super().open(split_id, schema)
        part.write = lambda batch: None  # type: ignore[method-assign]
        return part


def test_memory_stays_flat_while_gigabytes_pass(tmp_path: Path) -> None:
    process = psutil.Process()
    held: list[int] = []
    rows = 8192  # 8 MiB of text a piece; 2 x 150 pieces are 2.4 GiB
    model = FakePredictors(before=lambda count: held.append(process.memory_info().rss))
    parts = fake_job(tmp_path, Endless(150, rows), Nowhere(), model)  # type: ignore[arg-type]
    options = RunOptions(batch_rows=rows, memory_bytes=128 * 1024**2)

    report = run_job(parts, options)

    assert report.tally.rows_in == 2 * 150 * rows
    settled = max(held[: len(held) // 4])
    assert max(held) < settled + 64 * 1024**2


# Workers that die


def sick_job(folder: Path, deadly: Mapping[float, str], load: str = "") -> JobParts:
    """A job whose model ends its process at some rows: ``once``, or each time."""
    parts = open_job(folder, 0.0)
    if load:
        raise LoadFailed(load)

    model = parts.predictors
    assert isinstance(model, FakePredictors)
    return parts._replace(predictors=_Deadly(folder, deadly))


class _Deadly(FakePredictors):
    def __init__(self, folder: Path, deadly: Mapping[float, str]) -> None:
        super().__init__(poison={3.0, 1777.0})
        self._folder = folder
        self._deadly = deadly

    def open(self):  # type: ignore[no-untyped-def]
        copy = super().open()
        predict = copy.predict

        def deadly(inputs):  # type: ignore[no-untyped-def]
            for value, how in self._deadly.items():
                if (inputs[0].array == value).any():
                    mark = self._folder / f"died-{value}"
                    if how == "each time" or not mark.exists():
                        mark.touch()
                        os._exit(9)
            return predict(inputs)

        copy.predict = deadly
        return copy


def in_processes(folder: Path, deadly: Mapping[float, str], **options: object) -> RunOptions:
    return LENIENT._replace(
        engine=run_in_processes,
        workers=2,
        open_parts=partial(sick_job, folder, deadly),
        **options,  # type: ignore[arg-type]
    )


def test_processes_write_what_threads_write(tmp_path: Path) -> None:
    threads, processes = tmp_path / "threads", tmp_path / "processes"
    run_job(open_job(threads, 0.0), LENIENT)

    report = run_job(open_job(processes, 0.0), in_processes(processes, {}))

    assert files_of(processes) == files_of(threads)
    assert (report.tally.rows_in, report.tally.rows_dead) == (2000, 2)


def test_the_split_of_a_worker_that_dies_is_given_to_another(tmp_path: Path) -> None:
    threads, processes = tmp_path / "threads", tmp_path / "processes"
    run_job(open_job(threads, 0.0), LENIENT)
    deadly = {100.0: "once", 1500.0: "once"}

    run_job(open_job(processes, 0.0), in_processes(processes, deadly))

    assert files_of(processes) == files_of(threads)


def test_a_split_that_ends_each_worker_ends_the_job(tmp_path: Path) -> None:
    options = in_processes(tmp_path, {505.0: "each time"}, max_deaths=1)

    with pytest.raises(JobFailed, match=r"2 workers died while they did it.*exited with status 9"):
        run_job(open_job(tmp_path, 0.0), options)

    assert not (tmp_path / "out" / "_SUCCESS").exists()
    run_job(open_job(tmp_path, 0.0), LENIENT)
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_a_model_that_dies_of_the_first_look_is_told_of(tmp_path: Path) -> None:
    options = in_processes(tmp_path, {5.0: "each time"}, batch_rows=None, looks_apart=True)

    with pytest.raises(JobFailed, match=r"first rows.* exited with status 9; .*'batch_size'"):
        run_job(open_job(tmp_path, 0.0), options)

    assert multiprocessing.active_children() == []


def test_a_look_apart_finds_what_a_look_here_does(tmp_path: Path) -> None:
    threads, processes = tmp_path / "threads", tmp_path / "processes"
    run_job(open_job(threads, 0.0), LENIENT)
    options = in_processes(processes, {}, batch_rows=None, looks_apart=True)

    report = run_job(open_job(processes, 0.0), options)

    assert report.batch_rows > 0
    assert (report.tally.rows_in, report.tally.rows_dead) == (2000, 2)


class _DeadlyToRead(FakeSource):
    """Ends the process that begins to read one of its splits."""

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        if split.start == 500:
            os._exit(9)
        return super().read(split, max_rows, max_bytes)


def deadly_to_read(folder: Path) -> JobParts:
    """A job of which one split cannot be read; the one before is predicted meanwhile."""
    source = _DeadlyToRead({"a": numbers_table(0, 1000)}, split_rows=50)
    return open_job(folder, 0.01)._replace(source=source)


def test_whoever_was_under_way_beside_a_deadly_split_is_not_blamed(tmp_path: Path) -> None:
    """A worker reads the deadly split while it predicts another one, and both die with it."""
    options = LENIENT._replace(
        engine=run_in_processes, workers=1, open_parts=partial(deadly_to_read, tmp_path)
    )

    with pytest.raises(JobFailed, match=r"^a\[500:550\]: 2 workers died while they did it"):
        run_job(deadly_to_read(tmp_path), options._replace(max_deaths=1))


def test_a_job_of_processes_is_cancelled_and_goes_on(tmp_path: Path) -> None:
    whole, victim = tmp_path / "whole", tmp_path / "victim"
    run_job(open_job(whole, 0.0), LENIENT)
    cancel = threading.Event()
    options = LENIENT._replace(
        engine=run_in_processes, workers=2, open_parts=partial(open_job, victim, 0.02)
    )

    def look(progress: Progress) -> None:
        if progress.splits_done >= 2:
            cancel.set()

    with pytest.raises(Cancelled, match=r"splits are done; run it again"):
        run_job(open_job(victim, 0.02), options, look, cancel)

    assert multiprocessing.active_children() == []
    done = read_status(victim / "state").done
    assert 2 <= done < 40
    assert run_job(open_job(victim, 0.0), LENIENT).done_before == done
    assert files_of(victim) == files_of(whole)


def test_a_model_that_does_not_come_back_holds_no_cancelled_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.jobs.batch.engine_processes._END_S", 0.5)
    cancel = threading.Event()
    options = LENIENT._replace(
        engine=run_in_processes, workers=2, open_parts=partial(stuck_job, tmp_path)
    )
    waiting = threading.Thread(target=_when_there, args=(tmp_path / "stuck", cancel.set))
    waiting.start()

    with pytest.raises(Cancelled, match="0 of 40 splits are done"):
        run_job(open_job(tmp_path, 0.0), options, cancel=cancel)

    waiting.join()
    assert multiprocessing.active_children() == []


def stuck_job(folder: Path) -> JobParts:
    """A job whose model never answers, and says so by a file."""

    def stick(rows: int) -> None:
        (folder / "stuck").touch()
        threading.Event().wait()

    return open_job(folder, 0.0)._replace(predictors=FakePredictors(before=stick))


def _when_there(path: Path, act: Callable[[], None]) -> None:
    while not path.exists():
        time.sleep(0.05)
    act()


def test_what_keeps_a_worker_from_starting_is_told(tmp_path: Path) -> None:
    options = LENIENT._replace(
        engine=run_in_processes, open_parts=partial(sick_job, tmp_path, {}, load="no such file")
    )
    with pytest.raises(LoadFailed, match="no such file"):
        run_job(open_job(tmp_path, 0.0), options)


def buggy_job(folder: Path, where: str) -> JobParts:
    """A job in which something raises what nobody expects."""
    parts = open_job(folder, 0.0)
    if where == "model":
        return parts._replace(predictors=FakePredictors(faults=[ValueError("odd")]))

    def open_outputs(schema: pa.Schema) -> None:
        raise ValueError("odd")

    return parts._replace(open_outputs=open_outputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("model", r"^a\[\d+:\d+\]: ValueError: odd \(fake_batch.py:\d+\).*please report"),
        ("start", r"^a worker process: ValueError: odd"),
    ],
)
def test_a_bug_ends_a_job_of_processes_in_words(
    tmp_path: Path, where: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = LENIENT._replace(
        engine=run_in_processes, workers=2, open_parts=partial(buggy_job, tmp_path, where)
    )
    with pytest.raises(JobFailed, match=told):
        run_job(open_job(tmp_path, 0.0), options)
    assert "Traceback" not in capfd.readouterr().err
    assert multiprocessing.active_children() == []


def test_a_job_that_cannot_be_sent_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be sent to another process"):
        run_job(open_job(tmp_path, 0.0), LENIENT._replace(engine=run_in_processes))


def test_files_of_another_job_are_refused_though_the_state_is_lost(tmp_path: Path) -> None:
    run_job(open_job(tmp_path, 0.0), LENIENT)
    shutil.rmtree(tmp_path / "state")

    with pytest.raises(JobFailed, match="parts of another job"):
        run_job(open_job(tmp_path, 0.0)._replace(spec_digest="s2"), LENIENT)

    before = files_of(tmp_path)
    run_job(open_job(tmp_path, 0.0), LENIENT)  # the same job takes its own parts for what they are
    assert {name: data for name, data in files_of(tmp_path).items() if name in before} == before
