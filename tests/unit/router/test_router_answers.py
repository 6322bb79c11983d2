"""What an answer is marked with and counted as, whatever a client or a model puts into it."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.rollout.experiment.outcomes import parse_outcomes
from penstock.router.route import Route, RoutingKey
from penstock.router.router import MAX_PREDICTION_ID_CHARS

from .routing import Town, route


class Seen:
    """Exposures that remember the predictions."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def exposed(self, model: str, route: Route, variant: str, key: str, prediction_id: str) -> None:
        self.ids.append(prediction_id)


@pytest.mark.parametrize(("length", "is_taken"), [(1, True), (256, True), (257, False)])
async def test_an_id_that_is_too_long_is_no_predictions(length: int, is_taken: bool) -> None:
    town, seen = Town(), Seen()
    await town.serve(1, 2)
    town.table.exposures = seen
    town.table.set("m", route(100, experiment="e", key=RoutingKey()))
    by_id = await town.ask(id="x" * length)
    by_header = await town.ask(headers={b"x-request-id": b"y" * length})
    told = [str(one.parameters["prediction_id"]) for one in (by_id, by_header)]
    assert [one[0] * length == one for one in told] == [is_taken, is_taken]
    assert max(map(len, told)) <= MAX_PREDICTION_ID_CHARS
    assert by_id.id == "x" * length
    assert seen.ids == told


async def test_an_answer_that_cannot_be_counted_is_answered() -> None:
    town = Town()
    await town.serve(1, 2)
    town.table.set("m", route(100, stage="s"))
    odd = Tensor("score", DType.FP32, np.zeros(1, np.float32))
    odd.array = np.array([object()])
    town.versions[2].outputs = (odd,)
    for _ in range(600):
        assert (await town.ask()).outputs == (odd,)
    counts = town.table.counts("m")
    assert counts is not None
    counted = counts.variants["canary"]
    assert (counted.requests, counted.errors, counted.uncounted) == (600, 0, 600)


@pytest.mark.parametrize("more", [0, 1])
def test_an_outcome_takes_just_the_ids_that_predictions_get(more: int) -> None:
    row = {"prediction_id": "x" * (MAX_PREDICTION_ID_CHARS + more), "metric": "m", "value": 1}
    assert len(parse_outcomes([row], 1).outcomes) == 1 - more
