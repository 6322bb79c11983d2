"""The runner: order, back-pressure, poison, waiting, revoked partitions, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    ModelCrashed,
    NotReady,
    Overloaded,
    PenstockError,
    StreamError,
)
from penstock.core.tensor import Tensor
from penstock.jobs.stream.delivery import Rejection
from penstock.jobs.stream.memory_broker import MemorySink, MemorySource
from penstock.jobs.stream.model import Prediction
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.under_way import Limits
from penstock.testing.faulty_stream import FakeStreamModel
from tests.unit.jobs.stream.streams import Plant, value


class StubbornModel(FakeStreamModel):
    """Raises these, one for each call, before it works."""

    def __init__(self, *errors: PenstockError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        if self.errors:
            raise self.errors.pop(0)
        return await super().predict(inputs)


class GatedSink(MemorySink):
    """Takes nothing until its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def write(self, results: Sequence[Produced]) -> None:
        await self.gate.wait()
        await super().write(results)


class FlakySink(MemorySink):
    """Raises these first, after it has kept some of the results."""

    def __init__(self, *errors: StreamError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def write(self, results: Sequence[Produced]) -> None:
        if self.errors:
            await super().write(results[: len(results) // 2])
            raise self.errors.pop(0)
        await super().write(results)


class WatchedSource(MemorySource):
    """Tells of its polls, and may fail; gives out ``on_revoked``."""

    def __init__(self, plant: Plant, *errors: StreamError) -> None:
        super().__init__(plant.topic)
        self.errors = list(errors)
        self.polls: list[int] = []
        self.released: list[Record] = []
        self.is_closed = False
        self.on_revoked: OnRevoked | None = None
        self.lags = 0

    async def open(self, on_revoked: OnRevoked) -> None:
        self.on_revoked = on_revoked

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self.errors:
            raise self.errors.pop(0)
        self.polls.append(max_records)
        return await super().poll(max_records, timeout_s)

    async def release(self, records: Sequence[Record]) -> None:
        self.released += records
        await super().release(records)

    async def lag(self) -> Lag:
        self.lags += 1
        if self.lags == 1:
            raise StreamError("away")
        return Lag(7, 123)

    async def close(self) -> None:
        self.is_closed = True


async def until(check: object) -> None:
    assert callable(check)
    while not check():  # noqa: ASYNC110 - anything may be waited for
        await asyncio.sleep(0)


async def test_results_leave_in_the_order_in_which_records_came() -> None:
    texts = ["slow", "a", "b", "slow", "c", "d", "e", "f"]
    model = FakeStreamModel(turns={b"slow": 20})
    plant = Plant(texts, model=model, limits=Limits(1, 4))
    await plant.run()
    assert plant.said() == [text.upper() for text in texts]
    result = next(iter(plant.sink.kept.values()))
    assert result.headers["penstock-model"] == b"shout"
    assert result.headers["penstock-version"] == b"1"
    assert result.headers["penstock-id"].decode() == result.id
    assert result.headers["penstock-source"] == b"tweets/0/0"


async def test_a_micro_batch_is_one_call_and_several_are_under_way() -> None:
    plant = Plant([f"text {n}" for n in range(41)], limits=Limits(10, 2))
    await plant.run()
    assert isinstance(plant.model, FakeStreamModel)
    assert plant.model.calls == [1, 10, 10, 10, 10]  # the first poll is careful
    assert (plant.stats.received, plant.stats.predicted) == (41, 41)


async def test_it_polls_with_nothing_to_take_while_it_is_full() -> None:
    plant = Plant([f"text {n}" for n in range(40)], limits=Limits(4, 2))
    sink, source = GatedSink(), WatchedSource(plant)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source, sink=sink).run(stopping))
    await until(lambda: 0 in source.polls)
    assert plant.stats.under_way_records == 1 + 4
    count = len(source.polls)
    await until(lambda: len(source.polls) > count + 2)
    assert plant.stats.under_way_records == 1 + 4
    assert set(source.polls[count:]) == {0}
    sink.gate.set()
    await until(lambda: len(plant.topic.settled) == 40)
    stopping.set()
    await running


async def test_what_is_under_way_is_bounded_in_bytes() -> None:
    size = 100_000
    texts = ["x" * size] * 60
    plant = Plant(texts, limits=Limits(50, 8, max_bytes=5 * size))
    sink = GatedSink()
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(sink=sink).run(stopping))
    for _ in range(200):
        await asyncio.sleep(0.001)
        assert plant.stats.under_way_bytes < 6.5 * size
    assert plant.stats.under_way_records >= 4
    sink.gate.set()
    await until(lambda: len(plant.topic.settled) == 60)
    stopping.set()
    await running


async def test_the_one_record_a_model_fails_on_becomes_a_dead_letter_alone() -> None:
    texts = [f"text {n}" for n in range(33)]
    texts[13] = "poison"
    model = FakeStreamModel(poison=frozenset({b"poison"}))
    plant = Plant(texts, model=model, limits=Limits(32, 1))
    await plant.run()
    assert plant.said() == [text.upper() for text in texts if text != "poison"]
    (letter,) = plant.dead.kept.values()
    assert letter.value == value("poison")
    assert letter.headers["penstock-error-code"] == b"model_failed"
    assert letter.headers["penstock-error"] == b"the model raised"
    assert letter.headers["penstock-dead-source"] == b"tweets/0/13"
    assert len(model.calls) < 14  # halves of halves, not one by one
    assert plant.stats.dead == {"model_failed": 1}


async def test_dead_letters_are_durable_before_their_record_is_settled() -> None:
    plant = Plant([b"no json", "fine"])
    dead = GatedSink()
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(dead=dead).run(stopping))
    await until(lambda: plant.stats.under_way_records == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not plant.topic.settled
    dead.gate.set()
    await until(lambda: len(plant.topic.settled) == 2)
    stopping.set()
    await running
    assert len(dead.kept) == len(plant.sink.kept) == 1


async def test_it_waits_for_a_model_that_is_not_there_for_as_long_as_it_takes() -> None:
    errors = [NotReady("not yet"), Overloaded("full")] * 6
    plant = Plant(["a", "b"], model=StubbornModel(*errors), max_attempts=2)
    await plant.run()
    assert plant.said() == ["A", "B"]
    assert plant.stats.retries == {"predict": 12}


@pytest.mark.parametrize("error", [ModelCrashed("died"), DeadlineExceeded("late")])
async def test_what_may_be_a_records_fault_is_tried_so_often(error: PenstockError) -> None:
    plant = Plant(["a"], model=StubbornModel(error, error), max_attempts=3)
    await plant.run()
    assert plant.said() == ["A"]
    plant = Plant(["a"], model=StubbornModel(error, error, error), max_attempts=3)
    await plant.run()
    assert not plant.sink.kept
    assert plant.stats.dead == {str(error.code): 1}


async def test_a_sink_that_fails_half_way_is_written_again() -> None:
    sink = FlakySink(StreamError("away"), StreamError("away"))
    plant = Plant([f"text {n}" for n in range(12)])
    await plant.run(plant.runner(sink=sink))
    assert len(sink.kept) == 12
    assert plant.stats.retries == {"write": 2}


async def test_a_sink_that_refuses_stops_the_stream_and_nothing_is_lost() -> None:
    sink = FlakySink(StreamError("no rights", retryable=False))
    plant = Plant([f"text {n}" for n in range(12)])
    source = WatchedSource(plant)
    with pytest.raises(StreamError, match="no rights"):
        await plant.run(plant.runner(source=source, sink=sink))
    assert source.released
    assert source.is_closed
    assert not plant.topic.settled
    await plant.run()
    assert sorted(plant.said()) == sorted(f"TEXT {n}" for n in range(12))


async def test_a_broker_that_goes_away_is_waited_for() -> None:
    plant = Plant(["a", "b"])
    source = WatchedSource(plant, *[StreamError("away")] * 9)
    await plant.run(plant.runner(source=source))
    assert sorted(plant.said()) == ["A", "B"]
    assert plant.stats.retries == {"poll": 8}
    refused = WatchedSource(plant, StreamError("password", retryable=False))
    with pytest.raises(StreamError, match="password"):
        await plant.runner(source=refused).run(asyncio.Event())


async def test_a_stop_ends_the_wait_for_a_broker() -> None:
    plant = Plant()
    source = WatchedSource(plant, *[StreamError("away")] * 100_000)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source).run(stopping))
    await until(lambda: plant.stats.retries)
    assert not plant.stats.is_connected
    stopping.set()
    await running
    assert source.errors


async def test_partitions_that_are_revoked_are_finished_first() -> None:
    plant = Plant([f"text {n}" for n in range(8)], num_partitions=2, limits=Limits(4, 2))
    sink, source = GatedSink(), WatchedSource(plant)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source, sink=sink).run(stopping))
    await until(lambda: plant.stats.under_way_records == 5)
    assert source.on_revoked is not None
    await source.on_revoked(frozenset({("tweets", "other")}))  # nothing of it: at once
    revoking = asyncio.create_task(source.on_revoked(frozenset({("tweets", "1")})))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not revoking.done()
    sink.gate.set()
    await revoking
    assert {position for _, position in plant.topic.settled} >= {"1", "3"}
    await until(lambda: len(plant.topic.settled) == 8)
    stopping.set()
    await running


async def test_a_revocation_does_not_wait_for_ever() -> None:
    plant = Plant(["a"], options={"revoke_s": 0.01, "drain_s": 0.01})
    sink, source = GatedSink(), WatchedSource(plant)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source, sink=sink).run(stopping))
    await until(lambda: plant.stats.under_way_records == 1)
    assert source.on_revoked is not None
    await source.on_revoked(frozenset({("tweets", "0")}))
    stopping.set()
    await running
    assert [record.position for record in source.released] == ["0"]
    assert plant.stats.under_way_records == plant.stats.under_way_bytes == 0


async def test_a_stop_finishes_what_is_under_way_and_takes_no_more() -> None:
    plant = Plant([f"text {n}" for n in range(100)], limits=Limits(4, 2))
    sink, source = GatedSink(), WatchedSource(plant)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source, sink=sink).run(stopping))
    await until(lambda: plant.stats.under_way_records == 5)
    stopping.set()
    await asyncio.sleep(0.03)
    assert not running.done()
    sink.gate.set()
    await running
    assert len(plant.topic.settled) == len(sink.kept) == 5
    assert source.released == []
    assert source.is_closed


async def test_what_was_delivered_often_goes_alone_and_then_is_given_up() -> None:
    plant = Plant(["a", "b", "c", "d"], max_attempts=3)
    for _ in range(2):
        dead = MemorySource(plant.topic)
        assert len(await dead.poll(9, 0)) == 4
        plant.topic.crashed(dead)
    await plant.run()
    assert isinstance(plant.model, FakeStreamModel)
    assert plant.model.calls == [1, 1, 1, 1]
    assert plant.stats.redelivered == 4
    plant = Plant(["a", "b"], max_attempts=1)
    dead = MemorySource(plant.topic)
    assert len(await dead.poll(1, 0)) == 1
    plant.topic.crashed(dead)
    await plant.run()
    assert plant.said() == ["B"]
    (letter,) = plant.dead.kept.values()
    assert b"delivered 1 times before" in letter.headers["penstock-error"]


async def test_while_suspects_come_it_takes_one_record_at_a_time() -> None:
    plant = Plant(["a", "b", "c", "d", "e"])
    for _ in range(2):
        dead = MemorySource(plant.topic)
        assert len(await dead.poll(3, 0)) == 3
        plant.topic.crashed(dead)
    source = WatchedSource(plant)
    await plant.run(plant.runner(source=source))
    assert [most for most in source.polls if most][:5] == [1, 1, 1, 1, 4]
    assert plant.said() == ["A", "B", "C", "D", "E"]


async def test_poison_may_stop_the_stream_or_be_dropped() -> None:
    plant = Plant(["a", b"no json"], rejection=Rejection("stop"))
    with pytest.raises(StreamError, match="record 1 of partition 0 of 'tweets' cannot be pred"):
        await plant.run()
    assert plant.said() == ["A"]
    plant = Plant(["a", b"no json"], rejection=Rejection("drop"))
    await plant.run()
    assert (plant.said(), plant.stats.dropped, plant.dead.kept) == (["A"], 1, {})


async def test_a_stream_of_which_nothing_can_be_predicted_stops() -> None:
    plant = Plant([b"no json"] * 50, rejection=Rejection(stop_after=10))
    with pytest.raises(StreamError, match="records could not be predicted; something else"):
        await plant.run()
    assert 10 <= plant.stats.num_dead < 30
    mixed = Plant([b"no json", "a"] * 25, rejection=Rejection(stop_after=10))
    await mixed.run()
    assert mixed.stats.num_dead == 25


class Together(MemorySink):
    """``ExactlyOnce`` into memory."""

    def __init__(self, plant: Plant, *, is_ours: bool = True) -> None:
        super().__init__()
        self.plant = plant
        self.is_ours = is_ours
        self.calls: list[list[str]] = []
        self.errors: list[StreamError] = []

    async def write_and_settle(
        self, results: Sequence[Produced], records: Sequence[Record]
    ) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        self.calls.append([record.position for record in records])
        await asyncio.sleep(0)
        if self.is_ours:
            await self.write(results)
        self.plant.topic.settle(records)
        return self.is_ours


async def test_exactly_once_settles_in_order_and_in_one_call() -> None:
    model = FakeStreamModel(turns={b"slow": 20})
    plant = Plant(["slow", "a", "slow", b"no json", "b"], model=model, limits=Limits(1, 4))
    sink = Together(plant)
    sink.errors = [StreamError("away")]
    await plant.run(plant.runner(sink=sink))
    assert sink.calls == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert len(sink.kept) == 4
    assert len(plant.dead.kept) == 1
    lost = Plant(["a"])
    await lost.run(lost.runner(sink=Together(lost, is_ours=False)))
    assert lost.stats.num_settled == 0


async def test_exactly_once_settles_nothing_behind_what_failed() -> None:
    plant = Plant(["slow", "a", "b"], limits=Limits(1, 3))
    sink = Together(plant)
    sink.errors = [StreamError("refused", retryable=False)]
    with pytest.raises(StreamError, match="refused"):
        await plant.run(plant.runner(sink=sink))
    assert sink.calls == []


async def test_the_lag_is_measured_and_the_age_is_counted() -> None:
    plant = Plant(["a"])
    source = WatchedSource(plant)
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner(source=source).run(stopping))
    await until(lambda: plant.stats.lag == 7 and plant.stats.predicted)
    assert plant.stats.oldest_ms == 123
    assert plant.stats.age_ns.count == 1
    stopping.set()
    await running


async def test_the_first_of_a_micro_batch_waits_for_company() -> None:
    plant = Plant(["a"], options={"max_delay_s": 0.05})
    stopping = asyncio.Event()
    running = asyncio.create_task(plant.runner().run(stopping))
    await until(lambda: plant.topic.settled)
    for text in ("b", "c"):
        plant.positions.append(plant.put(text))
        await asyncio.sleep(0.005)
    await until(lambda: len(plant.topic.settled) == 3)
    stopping.set()
    await running
    assert isinstance(plant.model, FakeStreamModel)
    assert plant.model.calls == [1, 2]


async def test_columns_that_do_not_fit_stop_it() -> None:
    plant = Plant(["a"])
    runner = plant.runner()
    runner._delivery._batches._decoder._columns = {"txet": ("a",)}
    with pytest.raises(ConfigError, match="no input 'txet'"):
        await plant.run(runner)
    assert not plant.topic.settled
