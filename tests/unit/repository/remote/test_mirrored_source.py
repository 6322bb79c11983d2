"""The source as the server runs it: paths and URLs together, told of as they come."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.core.clock import SystemClock
from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.artifact import BadArtifact
from penstock.repository.filesystem_source import WatchOptions
from penstock.repository.package_options import PackageIntake
from penstock.repository.remote.mirrored_source import MirroredSource
from penstock.repository.remote.model_cache import CacheOptions
from penstock.repository.remote.open_source import SourceOptions, open_source
from tests.unit.repository.fake_disk import FakeTarget, fill, numbers

from .bringing import AT_ONCE
from .file_server import FileServer, Served

SOON = WatchOptions(settle_s=0.05, poll_interval_s=0.05, force_polling=True)


def source_of(paths: Sequence[str], folder: Path, watch: WatchOptions = SOON) -> MirroredSource:
    cache = CacheOptions(folder / "cache", 10**9)
    options = SourceOptions(watch, AT_ONCE, cache, PackageIntake(folder / "packages"))
    return open_source(paths, options, SystemClock())


@asynccontextmanager
async def running(source: MirroredSource) -> AsyncIterator[FakeTarget]:
    target = FakeTarget()
    task = asyncio.create_task(source.run(target))
    try:
        yield target
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_new_versions_of_a_bucket_are_picked_up(bucket: Any, tmp_path: Path) -> None:
    await asyncio.to_thread(bucket.pipe, f"{bucket.name}/m/1/model.onnx", b"one")
    async with running(source_of([f"s3://{bucket.name}"], tmp_path)) as target:
        await target.until(lambda truth: "m" in truth and numbers(truth["m"]) == [1])
        await asyncio.to_thread(bucket.pipe, f"{bucket.name}/m/2/model.onnx", b"two")
        await target.until(lambda truth: numbers(truth["m"]) == [1, 2])
        await asyncio.to_thread(bucket.rm, f"{bucket.name}/m/1", recursive=True)
        await target.until(lambda truth: numbers(truth["m"]) == [2])


async def test_files_and_urls_are_served_together(web: FileServer, tmp_path: Path) -> None:
    web.files["/far.onnx"] = Served(b"far")
    digest = hashlib.sha256(b"far").hexdigest()
    near = fill(tmp_path / "models", "near/1/model.onnx")
    paths = [str(near), f"{web.url}/far.onnx#sha256={digest}"]
    source = source_of(paths, tmp_path)
    async with running(source) as target:
        await source.wait_quiet(0)
        assert set(target.truth) == {"near", "far"}
    assert [model.name for model in source_of(paths, tmp_path).scan()] == ["far", "near"]


async def test_a_version_that_cannot_be_brought_is_told_of_with_its_error(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(bucket.pipe, f"{bucket.name}/m/1/model.onnx", b"one")
    source = source_of([f"s3://{bucket.name}"], tmp_path)
    async with running(source) as target:
        await target.until(lambda truth: "m" in truth)
        (mirror,) = source._mirrors
        store = mirror._store
        assert store is not None

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(store, "read", refuse)
        await asyncio.to_thread(bucket.pipe, f"{bucket.name}/m/2/model.onnx", b"two")
        truth = await target.until(lambda truth: len(truth["m"].versions) == 2)
        assert numbers(truth["m"]) == [1]
        bad = truth["m"].versions[1]
        assert isinstance(bad, BadArtifact)
        assert f"s3://{bucket.name}: model.onnx: the store refuses (403)" in bad.error.message
        assert len(target.told) < 6


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("missing", ConfigError, "no such file or folder"),
        ("http://localhost:1/a.onnx", ConfigError, "needs a digest"),
        (
            f"http://localhost:1/a.onnx#sha256={'0' * 64}",
            LoadFailed,
            "cannot be reached",
        ),
    ],
)
async def test_what_is_wrong_at_the_start_ends_it(
    path: str, kind: type[Exception], says: str, web: FileServer, tmp_path: Path
) -> None:
    web.files["/ok.onnx"] = Served(b"ok")
    fine = f"{web.url}/ok.onnx#sha256={hashlib.sha256(b'ok').hexdigest()}"
    path = str(tmp_path / path) if path == "missing" else path
    with pytest.raises(kind, match=says):
        await source_of([fine, path], tmp_path).run(FakeTarget())


async def test_without_watching_one_truth_is_enough(bucket: Any, tmp_path: Path) -> None:
    await asyncio.to_thread(bucket.pipe, f"{bucket.name}/m/1/model.onnx", b"one")
    once = WatchOptions(settle_s=0.05, poll_interval_s=0.05, watch=False)
    source = source_of([f"s3://{bucket.name}"], tmp_path, once)
    async with running(source) as target:
        await source.wait_quiet(1)
        assert numbers(target.truth["m"]) == [1]
