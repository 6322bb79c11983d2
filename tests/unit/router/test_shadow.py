"""Shadows: what is asked, compared and counted, and that the primary sees nothing of it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.router.compare_rows import MAX_DIFFERENCE
from penstock.router.route import Route
from penstock.router.shadow_copy import OVERHEAD_BYTES, SHADOW_PRIORITY
from penstock.router.shadow_pace import Pace
from penstock.router.shadow_worker import MAX_AT_ONCE, MAX_WAITING
from penstock.testing.fake_loader import FakeServable
from tests.unit.router.shadowing import (
    SHADOW,
    Computing,
    Lending,
    offer,
    request,
    response,
    route,
    same,
    tee,
    worker,
)
from tests.unit.scheduler.playing import clock, play, puppet, schedule

COPY_BYTES = OVERHEAD_BYTES + 16
"""What a copy of one row holds: the inputs, and the outputs."""


def test_a_copy_is_asked_and_compared() -> None:
    async def scene() -> None:
        shadow = Computing(lambda values: values + 1)
        lending = Lending({SHADOW: shadow})
        it = worker(lending, tolerance=0.5)
        asked = offer(it, 1, 2, id="seven", parameters={"p": 1})
        assert shadow.requests == []
        await asyncio.sleep(1)
        counts = it.counts()
        assert (counts.pairs, counts.agreed, counts.comparison) == (1, 0, "score")
        assert (counts.difference_sum, counts.difference_squares) == (1.0, 1.0)
        assert (counts.errors, counts.shed, counts.incomparable) == (0, 0, 0)
        assert sum(counts.latency) == 1
        assert counts.examples[0].request_id == "seven"
        assert shadow.requests[0].inputs == asked.inputs
        assert shadow.requests[0].parameters == {"p": 1}
        assert shadow.requests[0].priority == SHADOW_PRIORITY
        assert it.held_bytes == lending.leases.count == 0

    play(scene())


def test_offering_asks_nobody() -> None:
    async def scene() -> None:
        lending = Lending({SHADOW: Computing(same)})
        it = worker(lending)
        for _ in range(10):
            offer(it)
        assert lending.num_lent == 0
        assert it.held_bytes == 10 * COPY_BYTES
        it.close()

    play(scene())


def test_the_answer_is_the_clients_own() -> None:
    async def scene() -> None:
        it = tee(Lending({SHADOW: Computing(lambda values: values * 0)}))
        asked = request(1, 2)
        answer = response(asked)
        before = (answer.outputs[0].array.copy(), answer.outputs, dict(answer.parameters))
        it.offer("m", route(), asked, answer)
        await asyncio.sleep(1)
        counts = it.counts("m")
        assert counts is not None
        assert counts.pairs == 1
        assert np.array_equal(answer.outputs[0].array, before[0])
        assert (answer.outputs, answer.parameters) == before[1:]
        await it.aclose()

    play(scene())


def test_the_sample_is_drawn() -> None:
    async def scene() -> None:
        draws = iter([0.1, 0.9, 0.2, 0.25])
        it = tee(Lending({SHADOW: Computing(same)}), draw=lambda: next(draws))
        followed = route(sample=0.25)
        for _ in range(4):
            it.offer("m", followed, request(), response(request()))
        await asyncio.sleep(1)
        counts = it.counts("m")
        assert counts is not None
        assert (counts.pairs, counts.shed) == (2, 0)
        await it.aclose()

    play(scene())


@given(
    st.lists(st.integers(1, 200), max_size=30),
    st.integers(1, 20 * OVERHEAD_BYTES),
    st.lists(st.booleans(), max_size=40),
)
def test_copies_never_hold_more_than_they_may(
    rows: list[int], max_bytes: int, pulls: list[bool]
) -> None:
    """Requests of so many rows; the shadow answers one wherever a pull says so."""

    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        it = worker(Lending({SHADOW: scheduler}), max_bytes=max_bytes)
        to_pull = iter(pulls)
        for count in rows:
            offer(it, *range(count))
            assert it.held_bytes <= max_bytes
            await asyncio.sleep(1)
            if next(to_pull, False) and instance.is_busy:
                instance.finish()
            await asyncio.sleep(1)
            assert 0 <= it.held_bytes <= max_bytes
        while instance.is_busy or it.held_bytes:
            if instance.is_busy:
                instance.finish()
            await asyncio.sleep(1)
        counts = it.counts()
        offered_pairs = [count for count in rows if 16 * count + OVERHEAD_BYTES <= max_bytes]
        assert counts.shed >= len(rows) - len(offered_pairs)
        assert sum(counts.latency) + counts.shed == len(rows)
        await scheduler.close()

    play(scene())


def test_what_finds_no_room_is_shed_at_once() -> None:
    async def scene() -> None:
        it = worker(Lending({SHADOW: Computing(same)}), in_flight=lambda: 1)
        for _ in range(MAX_WAITING + 5):
            offer(it)
        assert it.counts().shed == 5
        it.close()
        assert it.held_bytes == 0

    play(scene())


def test_copies_are_shed_first_while_requests_are_under_way() -> None:
    async def scene() -> None:
        lending = Lending({SHADOW: Computing(same)})
        in_flight, pace = 1, Pace(clock().monotonic_ns())
        it = worker(lending, in_flight=lambda: in_flight, pace=pace, timeout_s=0.5)
        offer(it)
        await asyncio.sleep(1)  # the share that is never denied
        assert lending.num_lent == 1
        pace.worked(clock().monotonic_ns(), 10**9)
        for _ in range(3):
            offer(it)
        await asyncio.sleep(100)
        assert lending.num_lent == 1
        in_flight = 0
        await asyncio.sleep(1)
        counts = it.counts()
        assert (counts.pairs, counts.shed) == (1, 3)
        offer(it)
        await asyncio.sleep(1)
        assert it.counts().pairs == 2

    play(scene())


def test_a_few_are_asked_at_once_where_the_shadow_has_its_own_thread() -> None:
    async def scene() -> None:
        instance = puppet()
        lending = Lending({SHADOW: schedule(instance, max_batch_size=1)})
        it = worker(lending, timeout_s=3600.0)
        for number in range(MAX_AT_ONCE + 2):
            offer(it, number)
        await asyncio.sleep(1)
        assert lending.leases.count == MAX_AT_ONCE
        while it.counts().pairs < MAX_AT_ONCE + 2:
            await instance.wait_until_busy()
            instance.finish()
            await asyncio.sleep(1)
        assert it.held_bytes == lending.leases.count == 0

    play(scene())


TWO_OUTPUTS = ModelSignature(
    (TensorSpec("x", DType.FP32, (-1, 2)),),
    (
        TensorSpec("label", DType.INT64, (-1,)),
        TensorSpec("scores", DType.FP32, (-1, 2), labels=("no", "yes")),
    ),
)


class Labelling(FakeServable):
    """Two outputs, of which a request may want one."""

    def __init__(self, signature: ModelSignature = TWO_OUTPUTS) -> None:
        super().__init__(SHADOW, signature)

    async def infer(self, request: InferRequest) -> InferResponse:
        scores = request.inputs[0].array
        both = {
            "label": Tensor("label", DType.INT64, scores.argmax(1)),
            "scores": Tensor("scores", DType.FP32, scores),
        }
        wanted = request.outputs or tuple(both)
        return InferResponse("m", SHADOW, tuple(both[name] for name in wanted))


@pytest.mark.parametrize(
    ("output", "given", "comparison", "pairs", "incomparable"),
    [
        ("", ("label", "scores"), "class", 1, 0),
        ("", ("scores",), "class", 1, 0),
        ("scores", ("label", "scores"), "class", 1, 0),
        ("scores", ("label",), "", 0, 1),
        ("", ("other",), "", 0, 1),
    ],
)
def test_one_output_of_both_is_compared(
    output: str, given: tuple[str, ...], comparison: str, pairs: int, incomparable: int
) -> None:
    async def scene() -> None:
        it = worker(Lending({SHADOW: Labelling()}), output=output)
        asked = request(3)
        have = {
            "label": Tensor("label", DType.INT64, np.array([0])),
            "scores": asked.inputs[0].renamed("scores"),
            "other": asked.inputs[0].renamed("other"),
        }
        it.offer(asked, InferResponse("m", 1, tuple(have[name] for name in given)))
        await asyncio.sleep(1)
        counts = it.counts()
        assert (counts.pairs, counts.agreed) == (pairs, pairs)
        assert counts.incomparable == incomparable
        assert counts.comparison == comparison

    play(scene())


def test_another_shape_is_disagreement_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        it = worker(Lending({SHADOW: Computing(lambda values: values[:, :1])}))
        offer(it, 1)
        offer(it, 2)
        await asyncio.sleep(1)
        counts = it.counts()
        assert (counts.pairs, counts.agreed) == (2, 0)
        assert counts.difference_sum == 2 * MAX_DIFFERENCE

    play(scene())
    (record,) = caplog.records
    assert "the primary gave FP32 [1, 2], the shadow FP32 [1, 1]" in record.message


def test_a_large_answer_is_compared_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def on_thread(work: Any, name: str) -> Any:
        seen.append(name)
        return work()

    monkeypatch.setattr("penstock.router.shadow_comparer.on_daemon_thread", on_thread)

    async def scene() -> None:
        it = worker(Lending({SHADOW: Computing(same)}))
        offer(it, *range(10))
        offer(it, *range(10_000))
        await asyncio.sleep(1)
        assert it.counts().pairs == 2
        assert seen == ["penstock-compare"]

    play(scene())


# The tee: routes that come and go


def counted(it: Any) -> tuple[int, int] | None:
    counts = it.counts("m")
    return None if counts is None else (counts.pairs, counts.shed)


async def offered(it: Any, followed: Route, times: int = 1) -> None:
    for _ in range(times):
        asked = request()
        it.offer("m", followed, asked, response(asked))
    await asyncio.sleep(1)


def test_counting_begins_anew_with_another_stage() -> None:
    async def scene() -> None:
        it = tee(Lending({SHADOW: Computing(same)}))
        assert it.counts("m") is None
        it.follow("m", route(stage="a"))
        assert counted(it) == (0, 0)
        await offered(it, route(stage="a"), 3)
        assert counted(it) == (3, 0)
        it.follow("m", route(stage="b"))
        assert counted(it) == (0, 0)
        await it.aclose()

    play(scene())


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [
        ({}, True),
        ({"sample": 0.5}, True),
        ({"max_bytes": 10**6}, True),
        ({"timeout_s": 3.0}, True),
        ({"tolerance": 0.25}, False),
        ({"compare": "exact"}, False),
        ({"output": "x"}, False),
        ({"version": 3}, False),
    ],
)
def test_counting_goes_on_where_the_same_is_counted(change: Any, goes_on: bool) -> None:
    async def scene() -> None:
        it = tee(Lending({SHADOW: Computing(same), 3: Computing(same)}))
        await offered(it, route(), 2)
        it.follow("m", route(**change))
        assert counted(it) == ((2, 0) if goes_on else (0, 0))
        await it.aclose()

    play(scene())


@pytest.mark.parametrize("after", [None, Route(variants=())])
def test_a_route_without_a_shadow_frees_everything(after: Route | None) -> None:
    async def scene() -> None:
        instance = puppet()
        lending = Lending({SHADOW: schedule(instance)})
        it = tee(lending)
        await offered(it, route(), 9)
        assert lending.leases.count == MAX_AT_ONCE
        it.follow("m", after)
        await asyncio.sleep(1)
        assert it.counts("m") is None
        assert lending.leases.count == 0
        instance.finish()
        await it.aclose()

    play(scene())


def test_closing_leaves_no_task_and_takes_nothing_more() -> None:
    async def scene() -> None:
        instance = puppet()
        it = tee(Lending({SHADOW: schedule(instance)}))
        await offered(it, route(), 9)
        await it.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await offered(it, route())
        assert it.counts("m") is None
        instance.finish()

    play(scene())


def test_a_bug_of_ours_is_not_the_requests(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("penstock.router.shadow_worker.take_copy", broken)

    async def scene() -> None:
        it = tee(Lending({}))
        await offered(it, route())
        await it.aclose()

    play(scene())
    assert "could not be copied" in caplog.text


def test_a_version_that_is_not_there_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        lending = Lending({})
        it = tee(lending)
        await offered(it, route(), 2)
        assert counted(it) == (0, 2)
        lending.versions[SHADOW] = Computing(same)
        await offered(it, route())
        assert counted(it) == (1, 2)
        await it.aclose()

    play(scene())
    (record,) = caplog.records
    assert "version 2 is not at ready state; further cases are only counted" in record.message
