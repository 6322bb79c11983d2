"""Law 12 for streams: however often it crashes, and wherever, each record has one effect."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.jobs.stream.memory_broker import MemorySource
from penstock.jobs.stream.prediction_id import prediction_id
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.under_way import Limits
from penstock.jobs.stream.watermark import Watermark
from penstock.testing.faulty_stream import (
    Crashed,
    FakeStreamModel,
    FaultPlan,
    FaultySink,
    FaultySource,
)
from tests.unit.jobs.stream.streams import Plant

_TEXTS = ("good", "better", "poison", "refused", "slow", b"no json", b"[]", b'{"other": 1}')
_POISON, _REFUSED = frozenset({b"poison"}), frozenset({b"refused"})


def model(plan: FaultPlan | None = None) -> FakeStreamModel:
    return FakeStreamModel(plan, poison=_POISON, refused=_REFUSED, turns={b"slow": 7})


async def crash(plant: Plant, at: int) -> int:
    """Run until the step; returns how many steps there were (fewer: it came to its end)."""
    plan = FaultPlan(at)
    source = MemorySource(plant.topic)
    runner = plant.runner(
        source=FaultySource(source, plan),
        sink=FaultySink(plant.sink, plan),
        dead=FaultySink(plant.dead, plan),
        model=model(plan),
    )
    with contextlib.suppress(Crashed):
        await plant.run(runner)
    plant.topic.crashed(source)
    return plan.num_steps


def check_one_effect_each(plant: Plant, texts: list[str | bytes]) -> None:
    for (position, effects), text in zip(plant.effects().items(), texts, strict=True):
        assert len(effects) == 1, (position, text)
        is_dead = effects[0].startswith("dead ")
        assert is_dead == (text not in ("good", "better", "slow")), (position, text)


SCENARIO: list[str | bytes] = ["good", "slow", "poison", b"no json", "better", "refused", "good"]


async def test_a_crash_at_each_step_in_turn() -> None:
    free = Plant(SCENARIO, model=model())
    steps = await crash(free, 0)
    check_one_effect_each(free, SCENARIO)
    assert steps > 40
    for at in range(1, steps + 3):
        plant = Plant(SCENARIO, model=model(), max_attempts=50)
        await crash(plant, at)
        await plant.run()
        check_one_effect_each(plant, SCENARIO)
        assert plant.sink.kept.keys() == free.sink.kept.keys(), at
        assert plant.dead.kept.keys() == free.dead.kept.keys(), at


@given(
    st.lists(st.sampled_from(_TEXTS), max_size=12),
    st.lists(st.integers(1, 60), max_size=4),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_each_record_has_one_effect(
    texts: list[str | bytes], crashes: list[int], max_records: int, in_flight: int, parts: int
) -> None:
    async def scenario() -> None:
        plant = Plant(
            texts,
            model=model(),
            limits=Limits(max_records, in_flight),
            num_partitions=parts,
            max_attempts=50,
        )
        for at in crashes:
            await crash(plant, at)
        await plant.run()
        check_one_effect_each(plant, texts)
        assert plant.stats.under_way_records == plant.stats.under_way_bytes == 0

    asyncio.run(scenario())


@given(st.data(), st.lists(st.sampled_from(("good", "better")), min_size=1, max_size=10))
def test_duplicates_and_disorder_change_nothing(data: st.DataObject, texts: list[str]) -> None:
    async def scenario() -> None:
        plant = Plant(texts, max_attempts=50)
        again = data.draw(st.lists(st.sampled_from(plant.positions), max_size=5))
        for position in again:
            plant.topic.again("0", position)
        plant.topic.shuffle(data.draw(st.permutations(range(len(texts) + len(again)))))
        await plant.run()
        check_one_effect_each(plant, list(texts))

    asyncio.run(scenario())


@given(st.lists(st.integers(0, 5), max_size=30), st.data())
def test_the_watermark_stands_before_all_that_is_open(gaps: list[int], data: st.DataObject) -> None:
    watermark, taken, settled = Watermark(), [], set()
    position = -1
    for gap in gaps:
        position += 1 + gap
        watermark.take(position)
        taken.append(position)
        last = watermark.settled
        if data.draw(st.booleans()):
            done = data.draw(st.sampled_from(taken))
            watermark.settle(done)
            settled.add(done)
        is_open = [one for one in taken if one not in settled]
        first_open = min(is_open, default=position + 1)
        done_before = [one for one in taken if one < first_open]
        assert watermark.settled == (done_before[-1] if done_before else None)
        assert last is None or watermark.settled >= last
        assert len(watermark) == len([one for one in taken if one >= first_open])


def test_the_watermark_takes_in_order_only() -> None:
    watermark = Watermark()
    watermark.take(4)
    for wrong in (4, 3):
        with pytest.raises(ValueError, match="is not beyond 4"):
            watermark.take(wrong)
    watermark.settle(4)
    watermark.settle(4)
    with pytest.raises(ValueError, match="is not beyond 4"):
        watermark.take(4)
    watermark.take(5)
    watermark.settle(9)
    assert (watermark.settled, len(watermark)) == (4, 1)


_WORDS = st.text(alphabet='a",[]|/\\0', max_size=3)
_PARTS = st.tuples(_WORDS, _WORDS, _WORDS, _WORDS, st.integers(0, 3), _WORDS)


@given(_PARTS, _PARTS)
def test_ids_are_equal_if_and_only_if_all_parts_are(
    one: tuple[str, str, str, str, int, str], other: tuple[str, str, str, str, int, str]
) -> None:
    def named(parts: tuple[str, str, str, str, int, str]) -> str:
        stream, partition, position, name, version, variant = parts
        record = Record(stream, partition, position, b"any", deliveries=version)
        return prediction_id(record, name, version, variant)

    assert (named(one) == named(other)) == (one == other)
