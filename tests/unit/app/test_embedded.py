"""penstock.serving: the models of a repository inside a program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

import penstock
from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidArgument,
    LoadFailed,
    NotFound,
    NotReady,
)

SHOUT = """
import penstock

class Shout(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        for index, one in enumerate(text):
            if not one:
                raise penstock.InvalidInput(index, "nothing to shout")
        return [one.upper() for one in text]
"""
SLEEP = """
import threading, penstock

class Sleep(penstock.Model):
    def predict(self, seconds: list[float]) -> list[float]:
        threading.Event().wait(max(seconds))
        return seconds
"""
SCALE = """
import penstock
from penstock import Rows

class Scale(penstock.Model):
    def predict(self, x: Rows["FP32", 2]) -> Rows["FP32", 2]:
        return x * 2
"""
QUIET = {"model_control": "none"}


def put(repository: Path, name: str, code: str) -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(code)


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[penstock.Models]:
    put(tmp_path, "shout", SHOUT)
    put(tmp_path, "sleep", SLEEP)
    put(tmp_path, "scale", SCALE)
    async with penstock.serving(tmp_path, settings=QUIET) as models:
        yield models


async def test_it_predicts(models: penstock.Models) -> None:
    assert models.version("shout") == 1
    outputs = await models.infer("shout", text=["a", "bc"])
    (texts,) = outputs.values()
    assert texts.tolist() == [b"A", b"BC"]


async def test_one_bad_row_is_the_business_of_its_own_call(models: penstock.Models) -> None:
    good, bad = await asyncio.gather(
        models.infer("shout", text=["fine"]),
        models.infer("shout", text=["fine", ""]),
        return_exceptions=True,
    )
    assert isinstance(good, dict)
    assert isinstance(bad, penstock.InvalidInput)
    assert (bad.index, bad.message) == (1, "row 1: nothing to shout")


async def test_the_numbers_of_a_list_become_what_the_model_declares(
    models: penstock.Models,
) -> None:
    for rows in ([[1.5, 2]], [[1, 2]], np.float32([[1.5, 2]])):
        (output,) = (await models.infer("scale", version=1, x=rows)).values()
        assert (output.dtype, output.tolist()) == (np.float32, (np.array(rows) * 2).tolist())
    with pytest.raises(InvalidArgument, match="'FP64', but model 'scale' expects 'FP32'"):
        await models.infer("scale", x=np.array([[1.5, 2]]))
    with pytest.raises(InvalidArgument, match="'BYTES', but model 'scale' expects 'FP32'"):
        await models.infer("scale", x=[["a", "b"]])
    with pytest.raises(InvalidArgument, match="input 'x': its rows differ in length"):
        await models.infer("scale", x=[[1.5, 2], [1]])
    with pytest.raises(NotFound):
        await models.infer("scale", version=7, x=[[1.5, 2]])


async def test_wrong_use_says_what_was_wrong(models: penstock.Models) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await models.infer("nobody", text=["a"])
    with pytest.raises(NotFound):
        models.version("nobody")
    with pytest.raises(InvalidArgument, match="text"):
        await models.infer("shout", words=["a"])
    with pytest.raises(InvalidArgument, match="text"):
        await models.infer("shout", text=np.zeros(3, np.float32))
    with pytest.raises(DeadlineExceeded):
        await models.infer("sleep", timeout_s=0.01, seconds=[0.2])


async def test_what_cannot_be_loaded_stops_the_start(tmp_path: Path) -> None:
    put(tmp_path, "broken", "import penstock\nraise RuntimeError('no such luck')")
    settings = {**QUIET, "lifecycle.load_attempts": 1}
    with pytest.raises(LoadFailed, match=r"^'broken' version 1: importing .*no such luck$"):
        async with penstock.serving(tmp_path, settings=settings):
            pytest.fail("it should not have started")


async def test_a_wrong_path_or_setting_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        async with penstock.serving(tmp_path / "nowhere"):
            pytest.fail("it should not have started")
    with pytest.raises(ConfigError, match=r"^settings: .*drain_timeout_s"):
        async with penstock.serving(tmp_path, settings={"drain_timeuot_s": 1}):
            pytest.fail("it should not have started")


async def test_nothing_is_left_when_it_ends(tmp_path: Path) -> None:
    put(tmp_path, "shout", SHOUT)
    before = asyncio.all_tasks()
    async with penstock.serving(tmp_path) as models:
        await models.infer("shout", text=["a"])
    assert asyncio.all_tasks() == before
    with pytest.raises((NotReady, NotFound)):
        await models.infer("shout", text=["a"])


@pytest.mark.parametrize(("declared", "limit"), [("", "32 by default"), ("max_batch_size: 4", "4")])
async def test_a_preferred_batch_beyond_the_largest_is_refused(
    tmp_path: Path, declared: str, limit: str
) -> None:
    put(tmp_path, "scale", SCALE)
    manifest = f"{declared}\nbatching: {{preferred_batch_sizes: [2, 64]}}\n"
    (tmp_path / "scale" / "model.yaml").write_text(manifest)
    with pytest.raises(LoadFailed, match=f"64 is more than max_batch_size, which is {limit}$"):
        async with penstock.serving(tmp_path, settings=QUIET):
            pytest.fail("it should not have started")
