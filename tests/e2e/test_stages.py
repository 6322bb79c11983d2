"""Stages on threads of their own, from ``model.yaml`` to the answer.

The models meet themselves: a stage waits until another batch is where only overlapping stages let
it be. Without ``stages`` nobody comes, the barrier breaks and the requests fail.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import penstock
from penstock.core.errors import ConfigError, LoadFailed, ModelFailed
from tests.unit.runtime.python_models import modules

LIMIT_S = 20
QUIET = {"model_control": "none"}
MEETING = """
import asyncio, threading, penstock

MEETING = threading.Barrier(PARTIES)

def meet():
    MEETING.wait(WAIT_S)

class Meets(penstock.Model):
    async def preprocess(self, x: list[int]):
        if x[0] in PREPROCESS:  # as one waits for a store across the network
            await asyncio.to_thread(meet)
        return x

    def predict(self, x) -> list[int]:
        if x[0] in PREDICT:
            meet()
        return [10 * v for v in x]
"""


def put(
    repository: Path,
    stages: str,
    *,
    preprocess: tuple[int, ...] = (),
    predict: tuple[int, ...] = (),
    wait_s: float = LIMIT_S,
) -> None:
    """A model in whose stages the batches with these values meet."""
    parties = len(preprocess) + len(predict)
    head = (
        f"PREPROCESS, PREDICT, PARTIES, WAIT_S = {preprocess!r}, {predict!r}, {parties}, {wait_s}"
    )
    folder = repository / "meets"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(f"{head}\n{MEETING}")
    (folder / "model.yaml").write_text(f"max_batch_size: 1\n{stages}\n")


async def ask(models: penstock.Models, *values: int) -> list[object]:
    """The answers to requests sent at once."""
    requests = (models.infer("meets", x=[value]) for value in values)
    answers = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 2 * LIMIT_S)
    return [one if isinstance(one, BaseException) else one["output"].tolist() for one in answers]


async def test_batches_wait_in_preprocess_together(tmp_path: Path) -> None:
    put(tmp_path, "stages: {preprocess: {count: 3}}", preprocess=(1, 2, 3))
    async with penstock.serving(tmp_path, settings=QUIET) as models:
        assert await ask(models, 1, 2, 3) == [[10], [20], [30]]


async def test_one_batch_is_in_predict_while_another_is_in_preprocess(tmp_path: Path) -> None:
    put(tmp_path, "stages: {preprocess: {count: 1}}", preprocess=(2,), predict=(1,))
    async with penstock.serving(tmp_path, settings=QUIET) as models:
        assert await ask(models, 1, 2, 3) == [[10], [20], [30]]


async def test_without_stages_they_wait_for_each_other_in_vain(tmp_path: Path) -> None:
    put(tmp_path, "", preprocess=(2,), predict=(1,), wait_s=0.05)
    async with penstock.serving(tmp_path, settings=QUIET) as models:
        assert [type(one) for one in await ask(models, 1, 2)] == [ModelFailed, ModelFailed]


async def test_the_end_under_load_answers_every_request_and_closes_the_model(
    tmp_path: Path,
) -> None:
    put(tmp_path, "stages: {preprocess: {count: 2}}", preprocess=(1, 2))
    others = modules()
    async with penstock.serving(tmp_path, settings=QUIET) as models:
        asking = asyncio.create_task(ask(models, *range(1, 21)))
        await asyncio.sleep(0)  # all are in
        await asyncio.sleep(0)
    assert await asking == [[10 * value] for value in range(1, 21)]
    assert modules() == others


async def test_a_stage_that_the_class_does_not_have(tmp_path: Path) -> None:
    put(tmp_path, "stages: {preprocess: {count: 2}, postprocess: {}}")
    with pytest.raises(LoadFailed) as caught:
        async with penstock.serving(tmp_path, settings=QUIET):
            pass
    assert (
        "model.yaml: stages.postprocess: class 'Meets' in model.py has no such method; "
        "it has preprocess, predict" in caught.value.message
    )


async def test_stages_of_copies_in_processes(tmp_path: Path) -> None:
    put(tmp_path, "stages: {preprocess: {}}\ninstances: {kind: process}")
    with pytest.raises((ConfigError, LoadFailed)) as caught:
        async with penstock.serving(tmp_path, settings=QUIET):
            pass
    assert "$.stages: only copies on threads have stages apart" in caught.value.message
