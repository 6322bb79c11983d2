"""KafkaSource: topics of Kafka, as a member of a consumer group."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec.structs import replace

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import StreamError
from penstock.jobs.stream.kafka_client import address_of, consumer_settings, kafka_fault, log
from penstock.jobs.stream.kafka_progress import KafkaProgress, Place
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.spec_brokers import KafkaInput

T = TypeVar("T")

_PAUSE_AFTER_S: Final = 0.3
"""Full for less than that: nothing is paused, as it would throw away what was fetched ahead."""

_ANSWER_S: Final = 10.0


class KafkaSource:
    """Reads topics with librdkafka, on one thread of its own; one hop to it for each micro-batch.

    Offsets are committed as soon as all that stand before them are settled, one commit on its
    way at a time. Records that are released are given out again from memory. When partitions go
    to somebody else, what is under way may end first (``drain_s``), and is committed before they
    go; lost ones are dropped without.

    Args:
        spec: what to read.
        commits: False: offsets are committed by somebody else, in transactions.

    Raises:
        ConfigError: the URL or an option is wrong.

    Concurrency: on one event loop.
    """

    def __init__(self, spec: KafkaInput, *, commits: bool = True) -> None:
        self._spec = spec
        self._settings = consumer_settings(spec)
        self._address = address_of(spec)
        self._name = ",".join(spec.topics)
        self._commits = commits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-source")
        self._progress = KafkaProgress()
        self._fetched: deque[Record] = deque()
        self._released: deque[Record] = deque()
        self._fault: StreamError | None = None
        self._is_committing = False
        self._full_since: float | None = None
        self._consumer: Any = None
        # what follows belongs to the thread
        self._turns: dict[Place, int] = {}
        self._turn = itertools.count(1)
        self._ends: dict[Place, int] = {}
        self._is_paused: bool | None = None
        self._is_leaving = threading.Event()

    async def open(self, on_revoked: OnRevoked) -> None:
        """Connect and join.

        Raises:
            StreamError: the brokers cannot be reached or refuse, or a topic is not there.
        """
        self._loop = asyncio.get_running_loop()
        self._on_revoked = on_revoked
        await self._on_thread(self._join)

    def _join(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer = consumer = Consumer({**self._settings, **callbacks})
        try:
            for topic in self._spec.topics:
                self._look(consumer, topic)
        except KafkaException as err:
            consumer.poll(0)  # the cause is told there
            consumer.close()  # else it goes on trying, beside the next one
            raise self._fault or self._translated(err.args[0]) from err
        consumer.subscribe(
            list(self._spec.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _look(self, consumer: Any, topic: str) -> None:
        if topic.startswith("^"):
            consumer.list_topics(timeout=_ANSWER_S)
            return
        found = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """The next records; see ``StreamSource.poll``.

        Raises:
            StreamError: the brokers are away or refuse; said once, then it goes on.
        """
        self._raise_fault()
        self._commit()
        if not max_records:
            await self._wait(timeout_s)
            return ()
        self._full_since = None
        if not self._fetched and not self._released:
            await self._on_thread(self._fetch, max_records, timeout_s)
            self._raise_fault()
        return self._take(max_records)

    async def _wait(self, timeout_s: float) -> None:
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < _PAUSE_AFTER_S:
            await asyncio.sleep(min(timeout_s, _PAUSE_AFTER_S))
        else:
            await self._on_thread(self._pause_and_poll, timeout_s)

    def _take(self, max_records: int) -> list[Record]:
        taken: list[Record] = []
        while self._released and len(taken) < max_records:
            record = self._released.popleft()
            if self._progress.is_ours(record):
                taken.append(record)
        while self._fetched and len(taken) < max_records:
            record = self._fetched.popleft()
            if self._progress.take(record):
                taken.append(record)
        return taken

    def _fetch(self, max_records: int, timeout_s: float) -> None:
        consumer, give_up = self._consumer, time.monotonic() + timeout_s
        if self._is_paused is not False:
            consumer.resume(consumer.assignment())
            self._is_paused = False
        while not self._fetched and self._fault is None:
            first = consumer.poll(max(0.0, give_up - time.monotonic()))
            if first is not None:
                self._keep([first])
                self._keep(consumer.consume(max_records, 0))
            if time.monotonic() >= give_up:
                break

    def _pause_and_poll(self, timeout_s: float) -> None:
        if not self._is_paused:
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True
        message = self._consumer.poll(timeout_s)
        if message is not None:
            self._keep([message])

    def _keep(self, messages: Sequence[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._ends[_place(message)] = message.offset() or 0
                else:
                    self._note(error)
            elif (turn := self._turns.get(_place(message))) is not None:
                self._fetched.append(_record(message, turn))

    async def settle(self, records: Sequence[Record]) -> None:
        """These are done with; what that lets commit is on its way when this returns."""
        self._progress.settle(records)
        self._commit()

    def settle_without_commit(self, records: Sequence[Record]) -> None:
        """These are done with, and a transaction that took place has told the broker."""
        self._progress.settle(records)
        self._progress.told(self._progress.due())

    def are_ours(self, records: Sequence[Record]) -> bool:
        """Whether none of them has gone to somebody else."""
        return all(map(self._progress.is_ours, records))

    def cluster_id(self, timeout_s: float) -> str:
        """Which cluster it is. May block so long.

        Raises:
            KafkaException: it does not answer.
        """
        return str(self._consumer.cluster_id(timeout_s))

    def has_committed(self, offsets: Mapping[Place, int]) -> bool:
        """Whether the group stands at these offsets, or beyond. Blocks until the brokers answer.

        Raises:
            KafkaException: they do not.
        """
        places = [TopicPartition(topic, int(part)) for topic, part in offsets]
        stands = self._consumer.committed(places, timeout=_ANSWER_S)
        return all(
            one.offset >= offset for one, offset in zip(stands, offsets.values(), strict=True)
        )

    def group_metadata(self) -> Any:
        """Who we are in the group, for a transaction."""
        return self._consumer.consumer_group_metadata()

    async def release(self, records: Sequence[Record]) -> None:
        """Give them out again, ahead of all others; somebody else does where they are not ours."""
        again = [replace(one, deliveries=one.deliveries + 1) for one in records]
        both = sorted([*self._released, *again], key=lambda one: (one.place, int(one.position)))
        self._released = deque(both)

    def _commit(self) -> None:
        if self._is_committing or not self._commits or self._is_leaving.is_set():
            return
        due = self._progress.due()
        if not due:
            return
        try:
            self._consumer.commit(offsets=_offsets(due), asynchronous=True)
        except KafkaException as err:
            self._note(err.args[0])
            return
        self._progress.told(due)
        self._is_committing = True

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        faulty = [one for one in partitions if error is not None or one.error is not None]
        for one in faulty:
            self._note_of_commit(error or one.error)
        self._tell(self._committed, [(one.topic, str(one.partition)) for one in faulty])

    def _committed(self, faulty: Sequence[Place]) -> None:
        self._is_committing = False
        self._progress.untold(faulty)
        if not faulty:
            self._commit()

    def _note_of_commit(self, error: KafkaError) -> None:
        fault = self._translated(error)
        if fault.retryable:
            log.info("%s: not committed yet, tried again: %s", self._name, error)
        else:
            self._fault = fault

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._turns[one.topic, str(one.partition)] = next(self._turn)
        self._is_paused = None  # some are, others not

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        turns = self._end_turns(partitions)
        due = self._ask(self._drain(turns))
        if due and self._commits:
            try:
                consumer.commit(offsets=_offsets(due), asynchronous=False)
            except KafkaException as err:
                log.warning("%s: not committed, comes again: %s", self._name, err.args[0])

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        log.warning(
            "%s: %d partitions were lost: their records come again", self._name, len(partitions)
        )
        self._ask(self._drop(self._end_turns(partitions)))

    def _end_turns(self, partitions: list[TopicPartition]) -> dict[Place, int]:
        places = [(one.topic, str(one.partition)) for one in partitions]
        for place in places:
            self._ends.pop(place, None)
        return {place: self._turns.pop(place) for place in places if place in self._turns}

    async def _drain(self, turns: Mapping[Place, int]) -> dict[Place, int]:
        try:
            if not self._is_leaving.is_set():
                await asyncio.wait_for(self._on_revoked(frozenset(turns)), self._spec.drain_s)
        except TimeoutError:
            log.warning("%s: not drained in time, the rest comes again", self._name)
        finally:
            due = self._progress.due(turns)
            self._progress.end(turns)
        return due

    async def _drop(self, turns: Mapping[Place, int]) -> dict[Place, int]:
        self._progress.end(turns)
        return {}

    async def lag(self) -> Lag:
        """How far it is behind: asked of the brokers, as what is paused hears nothing.

        Raises:
            StreamError: they are away, or refuse.
        """
        try:
            waiting = await on_daemon_thread(self._waiting, "kafka-lag")
        except KafkaException as err:
            raise self._translated(err.args[0]) from err
        return Lag(waiting, min(self._progress.oldest_ms(), default=None) if waiting else None)

    def _waiting(self) -> int:
        waiting = 0
        for one in self._consumer.assignment():
            low, high = self._consumer.get_watermark_offsets(one, timeout=_ANSWER_S)
            place = (one.topic, str(one.partition))
            begun = self._progress.next_offset(place)
            if begun is None:
                offset = self._consumer.committed([one], timeout=_ANSWER_S)[0].offset
                begun = (offset if offset >= 0 else self._ends.get(place, low)), True
            offset, is_idle = begun
            if is_idle:  # what ends a transaction takes an offset, too
                offset = max(offset, self._ends.get(place, 0))
            waiting += max(0, high - max(low, offset))
        return waiting

    async def close(self) -> None:
        """Commit what is settled, and leave."""
        self._is_leaving.set()
        if self._consumer is not None:
            try:
                await self._on_thread(self._consumer.close)
            except (KafkaException, RuntimeError) as err:
                log.warning("%s: left without a word: %s", self._name, err)
        self._thread.shutdown(wait=False)

    def _on_error(self, error: KafkaError) -> None:
        """What the library says beside its answers; most of it passes by itself."""
        if self._translated(error).retryable and error.code() != KafkaError._ALL_BROKERS_DOWN:
            log.debug("%s: %s", self._name, error)
        else:
            self._note(error)

    def _note(self, error: KafkaError) -> None:
        fault = self._translated(error)
        if self._fault is None or self._fault.retryable:
            self._fault = fault

    def _raise_fault(self) -> None:
        fault = self._fault
        if fault is not None:
            self._fault = None
            raise fault

    def _translated(self, error: KafkaError) -> StreamError:
        return kafka_fault(error, self._address, self._name)

    async def _on_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._thread, work, *args)

    def _tell(self, what: Callable[..., None], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *args)

    def _ask(self, what: Coroutine[Any, Any, dict[Place, int]]) -> dict[Place, int]:
        """Have the loop do it, and wait; nothing where the loop does not live any more."""
        try:
            asked = asyncio.run_coroutine_threadsafe(what, self._loop)
        except RuntimeError:
            what.close()
            return {}
        try:
            return asked.result(self._spec.drain_s + _ANSWER_S)
        except TimeoutError:  # the loop stands still
            asked.cancel()
            return {}


def _place(message: Message) -> Place:
    return message.topic() or "", str(message.partition())


def _record(message: Message, turn: int) -> Record:
    headers = message.headers()
    return Record(
        stream=message.topic() or "",
        partition=str(message.partition()),
        position=str(message.offset()),
        value=message.value() or b"",
        key=message.key(),
        headers=[(name, value or b"") for name, value in headers] if headers else (),
        time_ms=max(0, message.timestamp()[1]),
        handle=turn,
    )


def _offsets(due: Mapping[Place, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, int(part), offset) for (topic, part), offset in due.items()]
