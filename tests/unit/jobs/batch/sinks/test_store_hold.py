"""StoreHold: one runner to a folder of a store, in a store in memory and one that speaks S3."""

from __future__ import annotations

import errno
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from penstock.core.errors import Cancelled, JobFailed, JobOutputError
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.sinks import object_folder, store_hold
from penstock.jobs.batch.sinks.file_sink import open_file_sink
from penstock.jobs.batch.sinks.object_folder import ObjectFolder
from penstock.jobs.batch.sinks.store_hold import HoldTimes, StoreHold, owner_of
from penstock.jobs.batch.spec_outputs import ParquetOutput
from penstock.testing.fake_batch import FakePredictors
from tests.unit.jobs.batch.fake_job import fake_job

BUCKETS = {"s3": "bucket", "gs": "gcs_bucket", "az": "azure_bucket"}

NEVER = threading.Event()

pytestmark = pytest.mark.timed


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_hold, "TIMES", HoldTimes(beat_s=0.05, give_up_s=0.8, expiry_s=0.8))
    monkeypatch.setattr(object_folder, "_PATIENCE", Patience(attempts=1))


@pytest.fixture(params=["memory", "s3", "gs", pytest.param("az", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty folder of a store."""
    if request.param != "memory":
        yield f"{request.param}://{request.getfixturevalue(BUCKETS[request.param]).name}/out"
        return
    url = f"memory://hold-{uuid.uuid4().hex}"
    yield url
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


@pytest.fixture
def memory() -> Iterator[str]:
    url = f"memory://hold-{uuid.uuid4().hex}"
    yield url
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


def hold_of(url: str, state: Path) -> StoreHold:
    """The hold of a runner with this state folder."""
    state.mkdir(exist_ok=True)
    return ObjectFolder(url).hold(state)


def numbers(url: str) -> list[int]:
    """What of holds is in the store."""
    files = fsspec.filesystem(url.partition("://")[0], use_listings_cache=False)
    files.invalidate_cache()
    try:
        return sorted(int(path.rpartition("/")[2]) for path in files.ls(f"{url}/_hold", False))
    except FileNotFoundError:
        return []


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until_s
        NEVER.wait(0.01)


def die(hold: StoreHold) -> None:
    """Its machine loses power."""
    hold._closed.set()
    hold._thread.join()


def test_the_second_is_told_who_the_first_is(place: str, tmp_path: Path) -> None:
    first, second = hold_of(place, tmp_path / "a"), hold_of(place, tmp_path / "b")
    assert first.take(NEVER)
    try:
        with pytest.raises(JobFailed, match=rf"{place}: .*being run already.*{first._me.host}"):
            second.take(NEVER)
        wait_until(lambda: first._number > 3)
        first.check()
        assert len(numbers(place)) <= 2
    finally:
        first.close()
    assert numbers(place) == []
    assert second.take(NEVER)
    second.check()
    second.close()


def test_a_dead_holders_place_is_taken_after_a_while(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = hold_of(place, tmp_path / "a"), hold_of(place, tmp_path / "b")
    first.take(NEVER)
    die(first)
    (left,) = numbers(place)
    started_s = time.monotonic()
    assert second.take(NEVER)
    assert time.monotonic() - started_s > 0.8
    told = [record.getMessage() for record in caplog.records if record.name == "penstock.jobs"]
    assert told == [
        f"{place}: held by another runner ({first._me.host}, process {first._me.pid}, since "
        f"{first._me.since}); waiting for up to 0.8 s to see whether it lives"
    ]
    second.check()
    assert numbers(place)[0] > left
    second.close()


def test_its_own_states_runner_waits_for_nobody(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hold_of(memory, tmp_path / "a")
    first.take(NEVER)
    die(first)
    monkeypatch.setattr(store_hold, "TIMES", HoldTimes(expiry_s=1e9))
    again = hold_of(memory, tmp_path / "a")
    assert again.take(NEVER)
    again.close()
    assert numbers(memory) == []


def test_the_wait_for_a_dead_holder_can_be_stopped(memory: str, tmp_path: Path) -> None:
    first = hold_of(memory, tmp_path / "a")
    first.take(NEVER)
    die(first)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        hold_of(memory, tmp_path / "b").take(stop)


def test_one_that_slept_knows_that_it_was_succeeded(place: str, tmp_path: Path) -> None:
    sleeper = hold_of(place, tmp_path / "a")
    sleeper.take(NEVER)
    die(sleeper)
    other = hold_of(place, tmp_path / "b")
    other.take(NEVER)
    assert not sleeper._succeed(sleeper._number)  # the number that the other one has, or had
    die(other)
    for _ in range(3):
        assert other._succeed(other._number)
    assert not sleeper._succeed(sleeper._number)
    other.close()
    assert not sleeper._succeed(sleeper._number)  # not even where nobody holds it any more
    assert numbers(place) == []


def test_a_hold_that_was_taken_is_told(memory: str, tmp_path: Path) -> None:
    first = hold_of(memory, tmp_path / "a")
    first.take(NEVER)
    files = fsspec.filesystem("memory")
    for number in range(50):  # somebody is ahead
        files.pipe_file(f"{memory}/_hold/{1000 + number}", b"{}")
    first._thread.join(5)
    with pytest.raises(JobFailed, match="another runner has taken this output over") as caught:
        first.check()
    assert not caught.value.retryable
    first.close()


def test_a_store_that_does_not_answer_ends_the_hold(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = hold_of(memory, tmp_path / "a")
    hold.take(NEVER)
    real = type(hold._files).pipe_file
    calls = []

    def fail(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise ConnectionResetError

    monkeypatch.setattr(type(hold._files), "pipe_file", fail)
    wait_until(lambda: len(calls) > 2)
    before_s = hold._renewed_s
    monkeypatch.setattr(type(hold._files), "pipe_file", real)
    wait_until(lambda: hold._renewed_s > before_s)
    hold.check()  # it was away for a moment only
    monkeypatch.setattr(type(hold._files), "pipe_file", fail)
    wait_until(lambda: time.monotonic() - hold._renewed_s > 0.8)
    with pytest.raises(JobFailed, match="could not be renewed for 1 s") as caught:
        hold.check()
    assert caught.value.retryable
    hold.close()


def test_an_answer_that_was_lost_is_no_other_holder(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = hold_of(memory, tmp_path / "a")
    real = type(hold._files).pipe_file

    def lose_the_answer(*args: Any, **more: Any) -> None:
        real(*args, **more)
        raise ConnectionResetError

    monkeypatch.setattr(type(hold._files), "pipe_file", lose_the_answer)
    with pytest.raises(JobOutputError):
        hold._create(1)
    assert hold._create(1)


def test_a_store_that_knows_no_conditions_is_not_held(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = hold_of(memory, tmp_path / "a")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSYS, "a header you provided implies functionality")

    monkeypatch.setattr(type(hold._files), "pipe_file", refuse)
    assert not hold.take(NEVER)


def test_a_state_folder_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert owner_of(tmp_path) == owner_of(tmp_path)
    assert owner_of(tmp_path) != owner_of(tmp_path / "b")
    with pytest.raises(JobOutputError, match=r"owner.* cannot be written"):
        owner_of(tmp_path / "none")


class TestJobs:
    """Runs of a job, each with a state folder of its own: as if on two machines."""

    OPTIONS = RunOptions(batch_rows=4, policy=FailurePolicy(max_rate=1.0))

    def test_the_second_runner_is_refused_and_the_first_goes_on(
        self, memory: str, tmp_path: Path
    ) -> None:
        goes, refused = threading.Event(), threading.Event()

        def wait(rows: int) -> None:
            goes.set()
            assert refused.wait(20)

        slow = fake_job(tmp_path / "a", sink=parquet(memory), model=FakePredictors(before=wait))
        first = threading.Thread(target=run_job, args=(slow, self.OPTIONS))
        first.start()
        assert goes.wait(20)
        try:
            with pytest.raises(JobFailed, match="a job is being run already into this output"):
                run_job(fake_job(tmp_path / "b", sink=parquet(memory)), self.OPTIONS)
        finally:
            refused.set()
            first.join()
        files = fsspec.filesystem("memory")
        assert files.exists(f"{memory}/_SUCCESS")
        assert numbers(memory) == []

    def test_a_job_stops_that_has_lost_its_hold(self, memory: str, tmp_path: Path) -> None:
        files = fsspec.filesystem("memory")
        is_lost = threading.Event()

        def lose(rows: int) -> None:
            if not is_lost.is_set():
                files.pipe_file(f"{memory}/_hold/1000", b"{}")
                is_lost.set()
            NEVER.wait(0.2)

        job = fake_job(tmp_path / "a", sink=parquet(memory), model=FakePredictors(before=lose))
        with pytest.raises(JobFailed, match="another runner has taken this output over"):
            run_job(job, self.OPTIONS)
        assert not files.exists(f"{memory}/_SUCCESS")
        files.rm_file(f"{memory}/_hold/1000")
        run_job(fake_job(tmp_path / "a", sink=parquet(memory)), self.OPTIONS)
        assert files.exists(f"{memory}/_SUCCESS")


def parquet(url: str) -> Any:
    return open_file_sink(ParquetOutput(path=url))
