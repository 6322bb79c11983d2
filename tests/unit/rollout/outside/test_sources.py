"""What others are asked for, in the background: they may be slow, wrong or away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest

from penstock.core.errors import NotReady, StoreError
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.evidence.means import Moments
from penstock.rollout.outside.prometheus import Sample
from penstock.rollout.outside.sources import Outside, Sources
from penstock.rollout.seen import Reading
from penstock.rollout.spec import GoldenRequest, OutcomeGate, PrometheusGate, RolloutSpec
from penstock.rollout.state import Phase, RolloutState
from penstock.router.counts import StageCounts
from penstock.testing.fake_clock import FakeClock
from tests.unit.rollout.rollouts import a_spec, a_state

GATE = PrometheusGate(url="http://p", query="up", max=1)
OUTCOME = OutcomeGate(name="sales", max_loss=1)


class Others:
    """Everybody who is asked; what they say is set by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.samples: list[Sample | Exception] = []
        self.moments_: Mapping[str, Moments] | Exception = {}
        self.asked: list[tuple[str, ...]] = []
        self.answer: Exception | None = None
        self.sources = Sources(
            client=self,
            read_request=lambda body, model, choice: InferRequest(model, (), choice),
            outcomes=self,
            ask_prometheus=self.ask,
            sleep=self.clock.sleep,
        )

    async def ask(self, gate: PrometheusGate, spec: RolloutSpec) -> Sample:
        sample = self.samples.pop(0) if self.samples else Sample(0.0)
        if isinstance(sample, Exception):
            raise sample
        return sample

    async def moments(self, model: str, experiment: str, metric: str) -> Mapping[str, Moments]:
        self.asked.append((model, experiment, metric))
        if isinstance(self.moments_, Exception):
            raise self.moments_
        return self.moments_

    async def infer(self, request: InferRequest) -> InferResponse:
        assert request.choice == VersionChoice(version=2)
        if self.answer is not None:
            raise self.answer
        return InferResponse("digits", 2, ())


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
async def outside(others: Others) -> AsyncIterator[Outside]:
    made = Outside(others.sources)
    yield made
    await made.close()


def in_canary(*gates: Any, step: int = 0) -> RolloutState:
    return a_state(Phase.CANARY, step, msgspec.structs.replace(a_spec(), gates=gates))


async def again(others: Others, times: int = 1) -> None:
    """Let everybody be asked so often again."""
    for _ in range(times):
        await asyncio.wait_for(others.clock.wait_for_sleepers(), 10)
        others.clock.advance(1)
    await asyncio.sleep(0)
    await asyncio.wait_for(others.clock.wait_for_sleepers(), 10)


async def test_looks_in_a_row_begin_anew_with_another_answer(
    others: Others, outside: Outside
) -> None:
    values = [0.0, 0.5, 3.0, 4.0, None, None, 1.0]
    others.samples = [Sample(value, "" if value is not None else "nothing") for value in values]
    outside.follow(in_canary(OUTCOME, GATE))
    found = []
    for _ in values:
        await asyncio.sleep(0)
        await asyncio.wait_for(others.clock.wait_for_sleepers(2), 10)
        found.append(outside.readings[1])
        others.clock.advance(1)
    assert [(one.value, one.in_a_row) for one in found] == [
        (0.0, 1),
        (0.5, 2),
        (3.0, 1),
        (4.0, 2),
        (None, 1),
        (None, 2),
        (1.0, 1),
    ]
    assert found[4].why == "nothing"


async def test_another_stage_begins_with_nothing(others: Others, outside: Outside) -> None:
    outside.follow(in_canary(GATE))
    await again(others, 3)
    assert outside.readings[0].in_a_row > 1
    outside.follow(in_canary(GATE))
    assert outside.readings[0].in_a_row > 1
    outside.follow(in_canary(GATE, step=1))
    assert outside.readings == {}
    await asyncio.sleep(0)
    await again(others)
    assert outside.readings[0].in_a_row <= 2


async def test_a_bug_leaves_no_old_value_behind(
    others: Others, outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    others.samples = [Sample(0.0), ZeroDivisionError(), ZeroDivisionError(), Sample(0.0)]
    outside.follow(in_canary(GATE))
    await again(others)
    assert outside.readings == {}
    await again(others)
    await again(others)
    assert outside.readings == {0: Reading(0.0, "", 1)}
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_outcomes_are_those_of_one_step(others: Others, outside: Outside) -> None:
    others.moments_ = {"canary": Moments(count=1, mean=2.0, m2=0.0)}
    outside.follow(in_canary(OUTCOME))
    await again(others)
    assert outside.outcomes == {"sales": others.moments_}
    assert set(others.asked) == {("digits", "digits-1/canary/0", "sales")}
    outside.follow(in_canary(OUTCOME, step=1))
    assert outside.outcomes == {}


async def test_in_the_bake_outcomes_are_those_of_the_last_step(
    others: Others, outside: Outside
) -> None:
    others.moments_ = {"canary": Moments(count=1, mean=2.0, m2=0.0)}
    bake = a_state(Phase.BAKE, 0, msgspec.structs.replace(a_spec(), gates=(OUTCOME,)))
    outside.follow(msgspec.structs.replace(bake, baseline=StageCounts("digits-1/canary/1")))
    await again(others)
    assert outside.outcomes == {"sales": others.moments_}
    assert set(others.asked) == {("digits", "digits-1/canary/1", "sales")}


async def test_a_bake_that_follows_nothing_asks_for_no_outcomes(
    others: Others, outside: Outside
) -> None:
    outside.follow(a_state(Phase.BAKE, 0, msgspec.structs.replace(a_spec(), gates=(OUTCOME,))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (outside.outcomes, others.asked) == ({}, [])


async def test_outcomes_that_cannot_be_read_stay_and_are_told_once(
    others: Others, outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "penstock.rollout")
    others.moments_ = good = {"canary": Moments(count=1, mean=2.0, m2=0.0)}
    outside.follow(in_canary(OUTCOME))
    await again(others)
    others.moments_ = StoreError("disk full")
    await again(others, 3)
    assert outside.outcomes == {"sales": good}
    (record,) = caplog.records
    assert "outcome sales: disk full" in record.getMessage()


async def test_golden_requests_are_asked_until_there_is_an_answer(
    others: Others, outside: Outside
) -> None:
    spec = a_spec(golden=(GoldenRequest(request={}),))
    others.answer = NotReady("it loads")
    outside.follow(a_state(Phase.WARM, 0, spec))
    await again(others, 2)
    assert outside.golden is None
    others.answer = None
    others.clock.advance(1)
    async with asyncio.timeout(10):
        while outside.golden is None:  # noqa: ASYNC110  # a few turns of the loop
            await asyncio.sleep(0)
    assert outside.golden == ""
    outside.follow(a_state(Phase.CANARY, 0, spec))
    assert outside.golden is None


async def test_nobody_who_is_asked_for_what_no_gate_needs(others: Others) -> None:
    made = Outside(Sources(sleep=others.clock.sleep))
    made.follow(in_canary(OUTCOME))
    made.follow(a_state(Phase.WARM, 0, a_spec(golden=(GoldenRequest(request={}),))))
    await asyncio.sleep(0)
    assert (made.golden, made.outcomes, others.clock.sleeping_s) == (None, {}, [])
    await made.close()
