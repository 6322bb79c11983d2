"""run(): the first truth at once, then each change, on a real folder with real events."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError
from penstock.repository.artifact import StoredModel
from penstock.repository.filesystem_source import FileSystemSource, WatchOptions

from .fake_disk import FakeClock, FakeTarget, fill, numbers, write

EVENTS = WatchOptions(settle_s=0.05, poll_interval_s=600, event_delay_s=0)
POLLS = WatchOptions(settle_s=0.05, poll_interval_s=0.02, force_polling=True)
EITHER = pytest.mark.parametrize("options", [EVENTS, POLLS], ids=["events", "polls"])


@asynccontextmanager
async def running(path: Path | str, options: WatchOptions) -> AsyncIterator[FakeTarget]:
    """A target that a source is telling."""
    target = FakeTarget()
    source = FileSystemSource([path], options=options)
    task = asyncio.create_task(source.run(target))
    try:
        await target.until(lambda _: True)
        yield target
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def has(name: str, *versions: int) -> Callable[[dict[str, StoredModel]], bool]:
    """Whether a truth holds these versions of a model and no others."""
    return lambda truth: name in truth and numbers(truth[name]) == list(versions)


async def test_the_first_truth_is_told_before_anything_is_awaited(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/model.onnx")
    target = FakeTarget()
    source = FileSystemSource([tmp_path], options=EVENTS, clock=FakeClock())
    task = asyncio.create_task(source.run(target))
    await asyncio.sleep(0)
    assert has("fraud", 1)(target.truth)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_knows_of_a_change_can_have_it_looked_at_without_watching(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "fraud/1/model.onnx")
    target = FakeTarget()
    options = WatchOptions(settle_s=0.05, watch=False)
    source = FileSystemSource([tmp_path], options=options)
    task = asyncio.create_task(source.run(target))
    await target.until(has("fraud", 1))
    fill(tmp_path, "fraud/2/model.onnx")
    source.look_again()
    await source.wait_quiet(20)
    assert has("fraud", 1, 2)(target.truth)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wrong_path_ends_the_run_with_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        await FileSystemSource([tmp_path / "no"]).run(FakeTarget())


@EITHER
async def test_versions_and_models_come_and_go(tmp_path: Path, options: WatchOptions) -> None:
    fill(tmp_path, "fraud/1/model.onnx")
    async with running(tmp_path, options) as target:
        fill(tmp_path, "fraud/2/model.onnx")
        await target.until(has("fraud", 1, 2))
        fill(tmp_path, "churn/7/model.py")
        await target.until(has("churn", 7))
        shutil.rmtree(tmp_path / "fraud" / "1")
        await target.until(has("fraud", 2))
        shutil.rmtree(tmp_path / "fraud")
        await target.until(lambda truth: "fraud" not in truth)
        assert has("churn", 7)(target.truth)


@EITHER
async def test_a_single_file_replaced_by_a_rename_gets_a_new_revision(
    tmp_path: Path, options: WatchOptions
) -> None:
    fill(tmp_path, "m.onnx")
    async with running(tmp_path / "m.onnx", options) as target:
        seen = {(await target.until(has("m", 1)))["m"].versions[0].revision}
        for content in ("two", "three"):
            fill(tmp_path, "m.onnx.tmp", content=content)
            (tmp_path / "m.onnx.tmp").replace(tmp_path / "m.onnx")
            now = await target.until(lambda t: t["m"].versions[0].revision not in seen)
            seen.add(now["m"].versions[0].revision)


@EITHER
async def test_a_manifest_that_breaks_and_is_mended(tmp_path: Path, options: WatchOptions) -> None:
    fill(tmp_path, "fraud/1/model.onnx")
    async with running(tmp_path, options) as target:
        await target.until(has("fraud", 1))
        write(tmp_path / "fraud/model.yaml", "batching: {max_queue_delay: 1}")
        truth = await target.until(lambda t: t["fraud"].error is not None)
        assert "did you mean 'max_queue_delay_s'?" in str(truth["fraud"].error)
        assert numbers(truth["fraud"]) == [1]
        write(tmp_path / "fraud/model.yaml", "batching: {max_queue_delay_s: 1}")
        truth = await target.until(lambda t: t["fraud"].error is None)
        assert truth["fraud"].manifest.batching.max_queue_delay_s == 1


async def test_young_files_are_told_of_when_they_are_old_even_without_watching(
    tmp_path: Path,
) -> None:
    options = WatchOptions(settle_s=0.05, watch=False)
    fill(tmp_path, "fraud/1/model.onnx")
    async with running(tmp_path, options) as target:
        await target.until(has("fraud", 1))


async def test_a_root_that_blinks_unloads_nothing_and_is_picked_up_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    warned, loop = asyncio.Event(), asyncio.get_running_loop()

    class Waker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(warned.set)

    waker = Waker(logging.WARNING)
    monkeypatch.setattr(logging.getLogger("penstock.repository.survey"), "handlers", [waker])
    models = tmp_path / "models"
    fill(models, "fraud/1/model.onnx")
    options = WatchOptions(settle_s=0.05, poll_interval_s=0.05, event_delay_s=0)
    async with running(models, options) as target:
        await target.until(has("fraud", 1))
        shutil.move(models, tmp_path / "away")
        async with asyncio.timeout(20):
            await warned.wait()
        assert has("fraud", 1)(target.truth)
        fill(tmp_path, "away/fraud/2/model.onnx")
        shutil.move(tmp_path / "away", models)
        await target.until(has("fraud", 1, 2))
        fill(models, "fraud/3/model.onnx")
        await target.until(has("fraud", 1, 2, 3))
    assert "its models stay as they were" in caplog.text
    assert "is back" in caplog.text
    assert not [told for told in target.told[1:] if not told]


async def test_no_events_is_a_warning_and_polling_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr("watchfiles.awatch", refuse)
    options = WatchOptions(settle_s=0.05, poll_interval_s=0.05, event_delay_s=0)
    async with running(tmp_path, options) as target:
        fill(tmp_path, "fraud/1/model.onnx")
        await target.until(has("fraud", 1))
    assert "polling only: [Errno 28] OS file watch limit reached" in caplog.text
