"""What clients ask of the jobs."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.app.jobs.served.job_messages import Outcome
from penstock.app.jobs.served.jobs_folder import OUTPUT, Result, write_result
from penstock.app.settings import JobsSettings
from penstock.core.errors import (
    Cancelled,
    ConfigError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotReady,
    Overloaded,
    TooLarge,
)
from penstock.jobs.batch.report import Report, SplitTally
from penstock.jobs.predictor import ModelIdentity
from penstock.server.jobs_api.answers import ResultFile
from penstock.server.jobs_api.desk import Download, Upload
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.app.jobs.served.plant import Plant, job_in

REPORT = Report("a", ModelIdentity("m", 3, "d"), 2, 1.0, SplitTally(rows_in=3), output="/x/out")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    settings = JobsSettings(roots=(str(tmp_path),), max_queued=3, max_upload_bytes=100)
    return Plant(tmp_path / "jobs", FakeControlStore(), settings)


async def body_of(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def upload_of(
    *pieces: bytes, length: int = -1, error: Exception | None = None, **query: str
) -> Any:
    told = {"model": "m", "format": "csv", **query}
    return Upload(told, "", length, body_of(*pieces, error=error))


def job_folders(plant: Plant) -> list[Path]:
    return sorted(plant.folder.path.glob("job-*"))


async def test_a_job_is_pinned_to_the_version_that_answers(plant: Plant) -> None:
    found = await plant.submit("a")
    assert found.is_new
    assert (found.job.state, found.job.version, found.job.who) == ("queued", 3, "ann")
    spec = (await plant.book.find("a")).spec
    assert spec["model"] == {"path": "/models", "name": "m", "version": 3}
    assert "state" not in spec, "it is in the output, where a second runner finds it"


async def test_the_state_of_an_output_elsewhere_is_kept_here(tmp_path: Path) -> None:
    settings = JobsSettings(roots=(str(tmp_path), "s3://bucket"))
    plant = Plant(tmp_path / "jobs", FakeControlStore(), settings)
    await plant.submit("a", output={"format": "csv", "path": "s3://bucket/out"})
    entry = await plant.book.find("a")
    assert entry.spec["state"] == str(plant.folder.of(entry.folder) / "state")


async def test_the_same_job_twice_is_one(plant: Plant) -> None:
    await plant.submit("a")
    again = await plant.submit("a")
    assert not again.is_new
    assert len(job_folders(plant)) == 1
    with pytest.raises(FailedPrecondition, match="'a' is there already"):
        await plant.submit("a", keep=["id"])
    assert len(job_folders(plant)) == 1


async def test_a_job_that_is_not_taken_leaves_nothing(plant: Plant, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await plant.submit("a", model="other")
    with pytest.raises(ConfigError, match=r"jobs\.roots"):
        await plant.submit("a", output={"format": "csv", "path": "/etc"})
    path = [f"{tmp_path}/a.csv", "/etc/passwd"]
    with pytest.raises(ConfigError, match=r"jobs\.roots"):
        await plant.submit("a", input={"format": "csv", "path": path})
    assert job_folders(plant) == []
    assert await plant.desk.list() == ()


async def test_too_many_jobs_are_refused_but_not_one_that_is_there(plant: Plant) -> None:
    for job_id in ("a", "b", "c"):
        await plant.submit(job_id)
    with pytest.raises(Overloaded, match=r"3 jobs wait already.*jobs\.max_queued") as refused:
        await plant.submit("d")
    assert refused.value.retry_after_s
    with pytest.raises(Overloaded):
        await plant.desk.upload(upload_of(b"x\n1\n"), "d", "ann")
    assert not (await plant.submit("a")).is_new
    await plant.desk.cancel("b", "bob")
    assert (await plant.submit("d")).is_new
    assert [one.id for one in await plant.desk.list()] == ["d", "c", "b", "a"]


async def test_an_upload_is_a_file_of_its_job(plant: Plant) -> None:
    found = await plant.desk.upload(upload_of(b"x\n", b"1\n", keep="x"), "a", "ann")
    assert found.is_new
    assert found.job.is_upload
    entry = await plant.book.find("a")
    folder = plant.folder.of(entry.folder)
    assert (folder / "input.csv").read_bytes() == b"x\n1\n"
    assert entry.spec["input"] == {"format": "csv", "path": str(folder / "input.csv")}
    assert entry.spec["output"] == {"format": "jsonl", "path": str(folder / OUTPUT)}
    assert entry.spec["keep"] == ["x"]


async def test_the_same_upload_twice_is_one_and_other_bytes_are_another(plant: Plant) -> None:
    await plant.desk.upload(upload_of(b"x\n1\n"), "a", "ann")
    assert not (await plant.desk.upload(upload_of(b"x\n", b"1\n"), "a", "ann")).is_new
    for other in (upload_of(b"x\n2\n"), upload_of(b"x\n1\n", keep="x")):
        with pytest.raises(FailedPrecondition):
            await plant.desk.upload(other, "a", "ann")
    assert len(job_folders(plant)) == 1


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        ({"pieces": [b"x" * 60, b"x" * 60]}, TooLarge),
        ({"pieces": [b"x"], "length": 101}, TooLarge),
        ({"pieces": []}, InvalidArgument),
        ({"pieces": [b"x\n"], "error": Cancelled("gone")}, Cancelled),
        ({"pieces": [b"x\n"], "model": "other"}, NotFound),
    ],
)
async def test_an_upload_that_is_refused_leaves_nothing(
    plant: Plant, upload: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await plant.desk.upload(upload_of(*upload.pop("pieces"), **upload), "a", "ann")
    assert job_folders(plant) == []
    assert await plant.desk.list() == ()


async def test_an_upload_of_just_the_limit_is_taken(plant: Plant) -> None:
    await plant.desk.upload(upload_of(b"x" * 99, b"\n", length=100), "a", "ann")
    assert await plant.state("a") == "queued"


async def test_a_full_disk_refuses_an_upload_and_nothing_is_left(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", lambda *_, **__: Full())
    with pytest.raises(NotReady, match="No space left on device"):
        await plant.desk.upload(upload_of(b"x\n1\n"), "a", "ann")
    assert job_folders(plant) == []


async def done(plant: Plant, parts: dict[str, bytes], **query: str) -> None:
    """An upload ``a`` whose job has left these parts."""
    await plant.desk.upload(upload_of(b"x\n1\n", **query), "a", "ann")
    await plant.runner.look()
    folder = plant.folder.of(plant.launched[-1].entry.folder)
    (folder / OUTPUT).mkdir()
    for name, content in parts.items():
        (folder / OUTPUT / name).write_bytes(content)
    write_result(folder, Result(REPORT, tuple(parts)))
    await plant.finish(plant.launched[-1], Outcome("done"))


async def content_of(download: Download) -> bytes:
    content = b"".join([piece async for piece in download.pieces])
    assert len(content) == download.length
    return content


async def test_a_result_tells_the_counts_and_the_files_and_no_path(plant: Plant) -> None:
    await done(plant, {"part-2.jsonl": b"{}\n", "part-1.jsonl": b"{}\n{}\n"})
    found = await plant.desk.result("a")
    assert found.files == (ResultFile("part-2.jsonl", 3), ResultFile("part-1.jsonl", 6))
    assert found.report.tally.rows_in == 3
    assert str(plant.folder.path) not in msgspec.json.encode(found).decode()
    assert "/x/out" not in msgspec.json.encode(found).decode()


async def test_parts_come_one_by_one_or_together_in_the_inputs_order(plant: Plant) -> None:
    await done(plant, {"part-2.jsonl": b"2\n", "part-1.jsonl": b"1\n"})
    one = await plant.desk.download("a", "part-1.jsonl")
    assert (await content_of(one), one.content_type) == (b"1\n", "application/jsonl")
    assert await content_of(await plant.desk.download("a", "all")) == b"2\n1\n"
    for name in ("../input.csv", "part-3.jsonl", "", "_SUCCESS"):
        with pytest.raises(InvalidArgument, match="a name from the job's result"):
            await plant.desk.download("a", name)


async def test_parts_of_csv_have_one_header_together(plant: Plant) -> None:
    head = b'"a\nb","c ""q"""\n'
    await done(
        plant, {"1.csv": head + b"1,2\n", "2.csv": head + b"3,4\n", "3.csv": head}, output="csv"
    )
    assert await content_of(await plant.desk.download("a", "all")) == head + b"1,2\n3,4\n"
    assert await content_of(await plant.desk.download("a", "2.csv")) == head + b"3,4\n"


async def test_parts_of_parquet_stay_apart(plant: Plant) -> None:
    await done(plant, {"1.parquet": b"PAR1", "2.parquet": b"PAR1"}, output="parquet")
    with pytest.raises(InvalidArgument, match="2 parts of Parquet"):
        await plant.desk.download("a", "all")
    assert await content_of(await plant.desk.download("a", "2.parquet")) == b"PAR1"


async def test_there_is_no_result_before_the_end(plant: Plant) -> None:
    await plant.desk.upload(upload_of(b"x\n1\n"), "a", "ann")
    for state in ("queued", "running"):
        with pytest.raises(FailedPrecondition, match=f"no result yet: it is {state}"):
            await plant.desk.result("a")
        with pytest.raises(FailedPrecondition):
            await plant.desk.download("a", "all")
        await plant.runner.look()
    await plant.runner.close()


async def test_the_files_of_a_job_by_reference_are_not_kept_here(
    plant: Plant, tmp_path: Path
) -> None:
    await plant.submit("a")
    await plant.runner.look()
    write_result(plant.folder.of(plant.launched[0].entry.folder), Result(REPORT))
    await plant.finish(plant.launched[0], Outcome("done"))
    assert (await plant.desk.result("a")).output == f"{tmp_path}/out"
    with pytest.raises(FailedPrecondition, match="has written its output to"):
        await plant.desk.download("a", "all")


async def test_only_what_has_ended_is_deleted(plant: Plant) -> None:
    await plant.submit("a")
    with pytest.raises(FailedPrecondition, match="is queued: cancel it first"):
        await plant.desk.delete("a", "bob")
    await plant.runner.look()
    with pytest.raises(FailedPrecondition, match="is running: cancel it first"):
        await plant.desk.delete("a", "bob")
    await plant.finish(plant.launched[0], Outcome("done"))
    await plant.desk.delete("a", "bob")
    assert job_folders(plant) == []
    for call in (plant.desk.show, plant.desk.result):
        with pytest.raises(NotFound, match="no job 'a'"):
            await call("a")
    assert (await plant.submit("a")).is_new, "its id is free again"
    assert job_in(tmp := plant.folder.path.parent)["output"]["path"] == f"{tmp}/out"


async def test_jobs_of_another_folder_are_not_ours(plant: Plant, tmp_path: Path) -> None:
    store: Any = plant.runner._leases
    other = Plant(tmp_path / "other", store, JobsSettings(roots=(str(tmp_path),)), "q")
    await plant.submit("a")
    assert await other.desk.list() == ()
    assert (await other.submit("a", keep=["id"])).is_new
    await plant.runner.look()
    await other.runner.look()
    assert (len(plant.launched), len(other.launched)) == (1, 1)
    for one in (plant, other):
        await one.runner.close()
