"""KafkaSource: topics of Kafka, as a member of a consumer group."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec.structs import replace

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import StreamError
from penstock.jobs.stream.kafka_client import (
    address_of,
    consumer_settings,
    kafka_fault,
    log,
    look_for,
    made,
)
from penstock.jobs.stream.kafka_member import KafkaMember
from penstock.jobs.stream.kafka_messages import commit_now, partitions_of, place_of, record_of
from penstock.jobs.stream.kafka_progress import KafkaProgress, Place
from penstock.jobs.stream.kafka_standing import KafkaStanding, Reached
from penstock.jobs.stream.kafka_thread import KafkaThread
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.spec_brokers import KafkaInput

_PAUSE_AFTER_S: Final = 0.3
"""Full for less than that: nothing is paused, as it would throw away what was fetched ahead."""

_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.1


class KafkaSource:
    """Reads topics with librdkafka, on one thread of its own; one hop to it for each micro-batch.

    Offsets are committed between two polls when all that stand before them are settled, one
    commit on its way at a time. Records that are released are given out again from memory. When
    partitions go to somebody else, what is under way may end first (``drain_s``), and is
    committed before they go; lost ones are dropped without.

    Law: nothing but the thread touches the library's consumer. It lets one thread at a time use
    it: another one would wait for a poll, or for partitions to go, and the event loop with it.

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
        self._thread = KafkaThread("kafka-source")
        self._progress = KafkaProgress()
        self._fetched: deque[Record] = deque()
        self._released: deque[Record] = deque()
        self._fault: StreamError | None = None
        self._is_committing = False
        self._full_since: float | None = None
        self._standing = KafkaStanding(self._settings)
        self._member = KafkaMember(str(self._address), self._name)
        # what follows belongs to the thread
        self._consumer: Any = None
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
        self._loop, self._on_revoked = asyncio.get_running_loop(), on_revoked
        self._fault = None
        await self._thread.call(self._join)

    def _join(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer = consumer = made(Consumer, {**self._settings, **callbacks})
        try:
            for topic in self._spec.topics:
                look_for(consumer, topic, _ANSWER_S)
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
            await self._thread.call(self._fetch, max_records, timeout_s)
            self._raise_fault()
        return self._take(max_records)

    async def _wait(self, timeout_s: float) -> None:
        self._full_since = self._full_since or time.monotonic()
        if time.monotonic() - self._full_since < _PAUSE_AFTER_S:
            await asyncio.sleep(min(timeout_s, _PAUSE_AFTER_S))
        else:
            await self._thread.call(self._pause_and_poll, timeout_s)

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
        self._know_group()
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
        self._know_group()
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
                    self._ends[place_of(message)] = message.offset() or 0
                else:
                    self._note(error)
            elif (turn := self._turns.get(place_of(message))) is not None:
                self._fetched.append(record_of(message, turn))

    async def settle(self, records: Sequence[Record]) -> None:
        """These are done with; what that lets commit goes out after the poll that is under way."""
        self._progress.settle(records)
        self._commit()

    def settle_without_commit(self, records: Sequence[Record]) -> None:
        """These are done with, and a transaction that took place has told the broker."""
        self._progress.settle(records)
        due = self._progress.due()
        self._progress.told(due)
        self._progress.stored(due)

    def are_ours(self, records: Sequence[Record]) -> bool:
        """Whether none of them has gone to somebody else. Any thread may ask."""
        return all(map(self._progress.is_ours, records))

    def cluster_id(self, timeout_s: float) -> str:
        """Which cluster it is. May block so long.

        Raises:
            KafkaException: it does not answer.
        """
        return self._standing.cluster_id(timeout_s)

    def has_committed(self, offsets: Mapping[Place, int]) -> bool:
        """Whether the group stands at these offsets, or beyond. Blocks until the brokers answer.

        Raises:
            KafkaException: they do not.
        """
        stands = self._standing.committed(offsets)
        return all(stands[place] >= offset for place, offset in offsets.items())

    def group_metadata(self) -> Any:
        """Who we are in the group, for a transaction; any thread may ask. Whoever asks ``are_ours``
        afterwards knows that what goes later is refused by the brokers.

        Raises:
            StreamError: at present we are nobody; retryable.
        """
        return self._member.metadata

    def _know_group(self) -> None:
        if not self._commits:
            self._member.look_up(self._consumer)

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
        self._progress.told(due)
        self._is_committing = True
        self._thread.submit(self._send, due, self._progress.turns(due))

    def _send(self, due: Mapping[Place, int], turns: Mapping[Place, int]) -> None:
        ours = {place: due[place] for place in due if self._turns.get(place) == turns[place]}
        try:
            if ours:
                self._consumer.commit(offsets=partitions_of(ours), asynchronous=True)
                return
        except KafkaException as err:
            self._note(err.args[0])
        self._tell(self._committed, {}, list(ours))

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        stored: dict[Place, int] = {}
        faulty: list[Place] = []
        for one in partitions:
            place = place_of(one)
            if fault := error or one.error:
                self._note_of_commit(fault)
                faulty.append(place)
            else:
                stored[place] = one.offset
        self._tell(self._committed, stored, faulty)

    def _committed(self, stored: Mapping[Place, int], faulty: Sequence[Place]) -> None:
        self._is_committing = False
        self._progress.stored(stored)
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
        self._know_group()
        for one in partitions:
            self._turns[place_of(one)] = next(self._turn)
        self._is_paused = None  # some are, others not

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._know_group()
        due = self._ask(self._drain(self._end_turns(partitions)))
        if due and self._commits and not self._is_leaving.is_set():  # that has been tried
            stored, errors = commit_now(consumer, due)
            self._tell(self._progress.stored, stored)
            for error in errors:
                log.warning("%s: not committed, comes again: %s", self._name, error)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._member.forget()
        log.warning(
            "%s: %d partitions were lost: their records come again", self._name, len(partitions)
        )
        self._ask(self._drain(self._end_turns(partitions), are_lost=True))

    def _end_turns(self, partitions: list[TopicPartition]) -> dict[Place, int]:
        places = [place_of(one) for one in partitions]
        for place in places:
            self._ends.pop(place, None)
        return {place: self._turns.pop(place) for place in places if place in self._turns}

    async def _drain(self, turns: Mapping[Place, int], are_lost: bool = False) -> dict[Place, int]:
        try:
            if not are_lost and not self._is_leaving.is_set():
                await asyncio.wait_for(self._on_revoked(frozenset(turns)), self._spec.drain_s)
        except TimeoutError:
            log.warning("%s: not drained in time, the rest comes again", self._name)
        finally:
            due = {} if are_lost else self._progress.unstored()  # of those that stay, too
            self._progress.end(turns)
        return due

    async def lag(self) -> Lag:
        """How far it is behind: asked of the brokers, as what is paused hears nothing.

        Raises:
            StreamError: they are away, or refuse.
        """
        next_offset, ends = self._progress.next_offset, self._ends
        reached = {at: Reached(next_offset(at), ends.get(at)) for at in tuple(self._turns)}
        try:
            waiting = await on_daemon_thread(lambda: self._standing.waiting(reached), "kafka-lag")
        except KafkaException as err:
            raise self._translated(err.args[0]) from err
        return Lag(waiting, min(self._progress.oldest_ms(), default=None) if waiting else None)

    async def close(self) -> None:
        """Commit what is settled, and leave."""
        try:
            try:
                await self._settle_down()
            finally:
                self._is_leaving.set()
                await self._thread.end(self._leave)
        except (KafkaException, RuntimeError) as err:
            log.warning("%s: left without a word: %s", self._name, err)

    def _leave(self) -> None:
        try:
            if self._consumer is not None:
                self._consumer.close()
        finally:
            self._consumer = None
            self._standing.close()

    async def _settle_down(self) -> None:
        """Commit what is settled; again where the group changes, as it does when several leave."""
        self._fault, give_up = None, time.monotonic() + _ANSWER_S
        while self._commits and self._progress.unstored() and self._fault is None:
            self._commit()
            await self._thread.call(self._pause_and_poll, _LOOK_S)
            if time.monotonic() > give_up:
                log.warning("%s: not all could be committed, the rest comes again", self._name)
                return

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
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _translated(self, error: KafkaError) -> StreamError:
        return kafka_fault(error, self._address, self._name)

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
