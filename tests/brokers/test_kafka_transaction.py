"""Exactly once, Kafka to Kafka.

On librdkafka's mock cluster: that a transaction's results are seen together or not at all. It does
not store a transaction's offsets, nor does a second owner of a transactional id end the first: that
each input has one effect, whatever the step at which the runner dies or the broker breaks, is
proved on a double of producer and group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from penstock.core.errors import StreamError
from penstock.jobs.stream.kafka_member import KafkaMember
from penstock.jobs.stream.kafka_source import KafkaSource
from penstock.jobs.stream.kafka_transaction import KafkaTransaction
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.spec_brokers import KafkaOutput
from tests.brokers.bench import PATIENCE_S, nobody, numbers, opened, send, take, take_nothing
from tests.brokers.conftest import kafka_bench
from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.kafka_double import Brokers, Crash, Producer, Source, error, results

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

COUNT, SIZE = 12, 4
EXPECTED = [str(n).encode() for n in range(COUNT) if n % 5]
SPEC = KafkaOutput(url="kafka://double", topic="out", send_timeout_s=0.3)


class Script:
    """Raises something at the k-th step, once; counts the steps."""

    def __init__(self, at: int = -1, what: BaseException | None = None) -> None:
        self.steps: list[str] = []
        self._at = at
        self._what = what

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) - 1 == self._at and self._what is not None:
            raise self._what


async def run(brokers: Brokers, script: Script) -> None:
    """A runner from its start to its end: what it may try again it does."""
    source = Source(brokers, COUNT)
    sink = KafkaTransaction(SPEC, source, Producer(brokers, script))  # type: ignore[arg-type]
    try:
        await patiently(sink.open)
        for records in source.batches(SIZE):
            took = await patiently(lambda r=records: sink.write_and_settle(results(r), r))
            assert took
    finally:
        await sink.close()


async def patiently(call: Any) -> Any:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        try:
            return await call()
        except StreamError as err:
            if not err.retryable:
                raise
    raise AssertionError("it never takes place")


async def all_steps() -> list[str]:
    script = Script()
    await run(Brokers(), script)
    return script.steps


async def test_each_input_has_one_effect() -> None:
    brokers, script = Brokers(), Script()
    await run(brokers, script)
    assert brokers.log == EXPECTED
    assert brokers.offsets == {0: COUNT}
    assert script.steps.count("commit") == COUNT // SIZE


async def test_a_crash_at_any_step_leaves_one_effect_of_each_input() -> None:
    steps = await all_steps()
    for at in range(len(steps)):
        brokers = Brokers()
        with pytest.raises(Crash):
            await run(brokers, Script(at, Crash()))
        await run(brokers, Script())
        assert brokers.log == EXPECTED, (at, steps[at])
        assert brokers.offsets == {0: COUNT}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(lambda: error(KafkaError._TIMED_OUT, retriable=True), id="retriable"),
        pytest.param(
            lambda: error(KafkaError.INVALID_TXN_STATE, txn_requires_abort=True), id="abort"
        ),
        pytest.param(lambda: error(KafkaError._FATAL, fatal=True), id="fatal"),
    ],
)
async def test_an_error_at_any_step_leaves_one_effect_of_each_input(what: Any) -> None:
    steps = await all_steps()
    is_retriable = what().args[0].retriable()
    for at, step in enumerate(steps):
        if step == "committed" and what().args[0].txn_requires_abort():
            continue  # no broker says so once a transaction is committed
        if step == "init" and not is_retriable:
            continue
        brokers = Brokers()
        await run(brokers, Script(at, what()))
        assert brokers.log == EXPECTED, (at, step)
        assert brokers.offsets == {0: COUNT}


async def test_a_commit_that_is_in_doubt_for_long_is_asked_for_again_not_made_again() -> None:
    brokers = Brokers()

    class Silent(Script):
        """The commit takes place, and its answer does not come: for longer than one call."""

        def __call__(self, step: str) -> None:
            self.steps.append(step)
            if step == "committed" and self.steps.count("committed") < 6:
                raise error(KafkaError._TIMED_OUT, retriable=True)

    script = Silent()
    await run(brokers, script)
    assert brokers.log == EXPECTED
    assert script.steps.count("begin") == COUNT // SIZE


async def test_records_that_went_to_somebody_else_are_not_sent() -> None:
    brokers, script = Brokers(), Script()
    source = Source(brokers, COUNT)
    sink = KafkaTransaction(SPEC, source, Producer(brokers, script))  # type: ignore[arg-type]
    await sink.open()
    first, second, _ = source.batches(SIZE)
    assert await sink.write_and_settle(results(first), first)
    brokers.generation += 1
    assert not await sink.write_and_settle(results(second), second)
    assert brokers.log == EXPECTED[: len(brokers.log)]
    assert brokers.offsets == {0: SIZE}
    assert source.settled == first


async def test_a_generation_that_ends_within_a_transaction_calls_it_off() -> None:
    brokers = Brokers()

    class Rebalance(Script):
        def __call__(self, step: str) -> None:
            self.steps.append(step)
            if step == "offsets" and self.steps.count("offsets") == 1:
                brokers.generation += 1

    script = Rebalance()
    source = Source(brokers, COUNT)
    sink = KafkaTransaction(SPEC, source, Producer(brokers, script))  # type: ignore[arg-type]
    await sink.open()
    first, *_ = source.batches(SIZE)
    with pytest.raises(StreamError) as caught:
        await sink.write_and_settle(results(first), first)
    assert caught.value.retryable
    assert script.steps[-1] == "abort"
    assert not await sink.write_and_settle(results(first), first)
    assert (brokers.log, brokers.offsets) == ([], {})
    await run(brokers, Script())
    assert brokers.log == EXPECTED


class Member(Source):
    """One that stays in its group when its partition goes."""

    has_gone = False

    def are_ours(self, records: Sequence[Record]) -> bool:
        return not self.has_gone

    def group_metadata(self) -> int:
        return self._brokers.generation

    def lose(self) -> None:
        self.has_gone = True
        self._brokers.generation += 1


async def nothing_takes_place(source: Member, brokers: Brokers, script: Script) -> None:
    """The first write is refused, and not made when it is tried again."""
    sink = KafkaTransaction(SPEC, source, Producer(brokers, script))  # type: ignore[arg-type]
    await sink.open()
    first, *_ = source.batches(SIZE)
    with pytest.raises(StreamError) as caught:
        await sink.write_and_settle(results(first), first)
    assert caught.value.retryable
    assert not await sink.write_and_settle(results(first), first)
    assert (brokers.log, brokers.offsets) == ([], {})


async def test_a_member_that_stays_commits_nothing_of_a_partition_that_went() -> None:
    brokers = Brokers()
    source = Member(brokers, COUNT)

    class Rebalance(Script):
        def __call__(self, step: str) -> None:
            self.steps.append(step)
            if step == "begin" and not source.has_gone:
                source.lose()

    await nothing_takes_place(source, brokers, Rebalance())


async def test_a_commit_in_doubt_is_not_made_again_where_the_partition_went() -> None:
    brokers = Brokers()
    source = Member(brokers, COUNT)

    class Fatal(Script):
        """The producer ends before its commit takes place, and its partition goes."""

        def __call__(self, step: str) -> None:
            self.steps.append(step)
            if step == "commit" and not source.has_gone:
                source.lose()
                raise error(KafkaError._FATAL, fatal=True)

    await nothing_takes_place(source, brokers, Fatal())


@pytest.mark.parametrize("at", ["commit", "committed"])
async def test_whether_a_commit_in_doubt_took_place_is_asked_until_it_is_known(at: str) -> None:
    brokers = Brokers()

    class Fatal(Script):
        def __call__(self, step: str) -> None:
            self.steps.append(step)
            if step == at and self.steps.count(at) == 1:
                raise error(KafkaError._FATAL, fatal=True)

    class Silent(Source):
        """Brokers do not answer the first two times."""

        asked = 0

        def has_committed(self, offsets: dict[tuple[str, str], int]) -> bool:
            self.asked += 1
            if self.asked < 3:
                raise error(KafkaError._TIMED_OUT)
            return super().has_committed(offsets)

    source = Silent(brokers, COUNT)
    sink = KafkaTransaction(SPEC, source, Producer(brokers, Fatal()))  # type: ignore[arg-type]
    await sink.open()
    for records in source.batches(SIZE):
        assert await patiently(lambda r=records: sink.write_and_settle(results(r), r))
    assert brokers.log == EXPECTED
    assert brokers.offsets == {0: COUNT}
    assert source.asked == 3


@pytest.mark.parametrize("names", [("", ""), ("a", ""), ("", "a"), ("a", "b")])
async def test_who_has_no_name_in_the_group_sends_no_offsets(names: tuple[str, str]) -> None:
    """Brokers check no generation of somebody without a name."""
    member = KafkaMember("kafka://h", "t")
    member.look_up(consumer_called("a", "a"))
    assert member.metadata == "metadata"
    member.look_up(consumer_called(*names))
    with pytest.raises(StreamError, match="no member of its group") as caught:
        _ = member.metadata
    assert caught.value.retryable
    member.look_up(consumer_called("b", "b"))
    member.forget()
    with pytest.raises(StreamError):
        _ = member.metadata


def consumer_called(*names: str) -> Any:
    """A consumer whose name in the group is each of these, one after the other."""
    said = iter(names)
    return SimpleNamespace(memberid=lambda: next(said), consumer_group_metadata=lambda: "metadata")


async def test_a_second_owner_of_the_id_ends_the_first() -> None:
    brokers = Brokers()
    source = Source(brokers, COUNT)
    first = KafkaTransaction(SPEC, source, Producer(brokers, Script()))  # type: ignore[arg-type]
    second = KafkaTransaction(SPEC, source, Producer(brokers, Script()))  # type: ignore[arg-type]
    await first.open()
    await second.open()
    records, *_ = source.batches(SIZE)
    with pytest.raises(StreamError, match="transactional_id") as caught:
        await first.write_and_settle(results(records), records)
    assert not caught.value.retryable
    assert await second.write_and_settle(results(records), records)
    assert brokers.offsets == {0: SIZE}


async def test_two_clusters_are_refused() -> None:
    brokers = Brokers()
    source = Source(brokers, COUNT)
    source.cluster_id = lambda timeout_s: "another"  # type: ignore[method-assign]
    sink = KafkaTransaction(SPEC, source, Producer(brokers, Script()))  # type: ignore[arg-type]
    with pytest.raises(StreamError, match="one cluster") as caught:
        await sink.open()
    assert not caught.value.retryable


async def test_on_brokers_a_transactions_results_are_all_seen(
    kafka_cluster: KafkaCluster,
) -> None:
    origin, target = kafka_bench(kafka_cluster), kafka_bench(kafka_cluster)
    await send(origin, range(40))
    source = KafkaSource(origin.spec_in, commits=False)
    sink = KafkaTransaction(target.spec_out, source)
    async with opened(source):
        await sink.open()
        records = await take(source, 40)
        assert await sink.write_and_settle(answers(records), records)
        assert await sink.write_and_settle([], [])
        await sink.close()
    async with opened(target.source()) as reader:
        assert sorted(numbers(await take(reader, 40))) == list(range(40))
        await take_nothing(reader)


async def test_on_brokers_a_transaction_is_made_while_partitions_go(
    kafka_cluster: KafkaCluster,
) -> None:
    origin, target = kafka_bench(kafka_cluster), kafka_bench(kafka_cluster)
    await send(origin, range(40))
    source = KafkaSource(origin.spec_in, commits=False)
    sink = KafkaTransaction(target.spec_out, source)
    held: list[Record] = []
    took: list[bool] = []

    async def drain(places: frozenset[tuple[str, str]]) -> None:
        mine = [one for one in held if one.place in places]
        assert mine
        took.append(await sink.write_and_settle(answers(mine), mine))

    async with opened(source, drain):
        await sink.open()
        held += await take(source, 40)
        async with opened(origin.source()) as other:
            give_up = time.monotonic() + PATIENCE_S
            while not took and time.monotonic() < give_up:
                await asyncio.gather(source.poll(0, 0.05), other.poll(0, 0.05))
        assert took == [True]
        await sink.close()


async def test_on_brokers_nobody_sees_what_was_called_off(kafka_cluster: KafkaCluster) -> None:
    origin, target = kafka_bench(kafka_cluster), kafka_bench(kafka_cluster)
    await send(origin, range(10))
    source = KafkaSource(origin.spec_in, commits=False)
    sink = KafkaTransaction(target.spec_out, source)
    async with opened(source):
        await sink.open()
        records = await take(source, 10)
        too_large = Produced("x", b"0" * 2_000_000, None, {}, records[0])
        with pytest.raises(StreamError, match=r"message\.max\.bytes") as caught:
            await sink.write_and_settle([*answers(records), too_large], records)
        assert not caught.value.retryable
        assert await sink.write_and_settle(answers(records[:5]), records[:5])
        await sink.close()
    async with opened(target.source()) as reader:
        assert sorted(numbers(await take(reader, 5))) == sorted(numbers(records[:5]))
        await take_nothing(reader)


async def test_on_brokers_a_source_that_settles_in_transactions_commits_nothing_itself(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(10))
    source = KafkaSource(bench.spec_in, commits=False)
    await source.open(nobody)
    await source.settle(await take(source, 10))
    await source.poll(0, 0.5)
    await source.close()
    async with opened(bench.source()) as again:
        assert sorted(numbers(await take(again, 10))) == list(range(10))
        await asyncio.sleep(0)


def answers(records: list[Record]) -> list[Produced]:
    return [Produced(one.position, one.value, one.key, {}, one) for one in records]
