"""Exposures on their way to the log: bounded, batched, and told where they are lost."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.experiment_log import ExperimentTally, Exposure, PredictionOutcome, Recorded
from penstock.stores.experiment_log_buffer import (
    ExposureBuffer,
    ExposureBufferOptions,
    exposure_bytes,
)
from penstock.stores.experiment_log_postgres import PostgresExperimentLog
from penstock.stores.postgres_url import parse_postgres_url
from tests.stores.postgres_server import PostgresServer

ONE = Exposure("e", "unit", "a", "0001", 1)
SOON = ExposureBufferOptions(flush_s=0.001, retry_s=0.001)
BY_HAND = ExposureBufferOptions(flush_s=3600.0, retry_s=3600.0)


class PuppetLog:
    """Writes when it is let, and fails when it is told to, or where it is given what it hates."""

    def __init__(self) -> None:
        self.batches: list[list[Exposure]] = []
        self.dropped: dict[str, int] = {}
        self.fault: StoreError | None = None
        self.hated: dict[str, Exception] = {}
        self.num_asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.wrote = asyncio.Event()

    async def expose(
        self, exposures: Sequence[Exposure], dropped: Mapping[str, int] | None = None
    ) -> None:
        self.wrote.set()
        self.num_asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        for one in exposures:
            if one.prediction_id in self.hated:
                raise self.hated[one.prediction_id]
        self.batches.append(list(exposures))
        for name, count in (dropped or {}).items():
            self.dropped[name] = self.dropped.get(name, 0) + count

    async def record(self, outcomes: Sequence[PredictionOutcome]) -> Recorded:
        raise NotImplementedError

    async def tally(self, experiment: str, *, by_prediction: bool = False) -> ExperimentTally:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    @property
    def written(self) -> list[Exposure]:
        return [one for batch in self.batches for one in batch]


def numbered(count: int) -> list[Exposure]:
    return [ONE._replace(prediction_id=f"{number:04}") for number in range(count)]


async def test_what_is_put_is_written_by_itself_in_order() -> None:
    log = PuppetLog()
    buffer = ExposureBuffer(log, SOON)
    for one in numbered(5):
        buffer.put(one)
    assert log.batches == []  # not on the request's way
    await log.wrote.wait()
    await buffer.flush()
    assert log.written == numbered(5)
    assert buffer.num_bytes == 0


async def test_batches_are_bounded() -> None:
    log = PuppetLog()
    buffer = ExposureBuffer(log, ExposureBufferOptions(flush_s=3600.0, batch_rows=2))
    for one in numbered(5):
        buffer.put(one)
    await buffer.flush()
    assert [len(batch) for batch in log.batches] == [2, 2, 1]
    await buffer.close(1)


async def test_what_overflows_is_dropped_counted_and_told_with_the_next_batch() -> None:
    log = PuppetLog()
    room = 3 * exposure_bytes(ONE)
    buffer = ExposureBuffer(log, ExposureBufferOptions(max_bytes=room, flush_s=3600.0))
    for one in numbered(7):
        buffer.put(one)
        assert buffer.num_bytes <= room
    assert buffer.dropped("e") == 4
    await buffer.flush()
    assert (log.written, log.dropped) == (numbered(3), {"e": 4})
    assert buffer.dropped("e") == 0
    buffer.put(ONE)  # there is room again
    assert buffer.num_bytes == exposure_bytes(ONE)
    await buffer.close(1)


async def test_while_the_log_fails_exposures_wait_and_come_once() -> None:
    log = PuppetLog()
    log.fault = StoreError("locked")
    buffer = ExposureBuffer(log, SOON)
    for one in numbered(3):
        buffer.put(one)
    await buffer.flush()
    assert (log.written, buffer.num_bytes) == ([], 3 * exposure_bytes(ONE))
    log.fault = None
    log.wrote.clear()
    await log.wrote.wait()  # by itself
    await buffer.flush()
    assert log.written == numbered(3)


async def test_a_flush_covers_what_was_put_while_another_batch_was_written() -> None:
    log = PuppetLog()
    log.gate.clear()
    buffer = ExposureBuffer(log, BY_HAND)
    buffer.put(numbered(2)[0])
    first = asyncio.create_task(buffer.flush())
    await log.wrote.wait()
    buffer.put(numbered(2)[1])
    second = asyncio.create_task(buffer.flush())
    log.gate.set()
    await asyncio.gather(first, second)
    assert log.written == numbered(2)
    await buffer.close(1)


async def test_the_end_writes_what_waits_and_counts_what_it_cannot() -> None:
    log = PuppetLog()
    buffer = ExposureBuffer(log, BY_HAND)
    buffer.put(ONE)
    assert await buffer.close(1) == 0
    assert log.written == [ONE]
    log.gate.clear()
    buffer.put(ONE)
    assert await buffer.close(0.01) == 1


async def test_a_long_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = PuppetLog()
    log.fault = StoreError("locked")
    buffer = ExposureBuffer(log, BY_HAND)
    buffer.put(ONE)
    for _ in range(3):
        await buffer.flush()
    assert [one.message for one in caplog.records] == [
        "exposures wait for the experiment log: locked"
    ]
    await buffer.close(0.01)


REFUSED = StoreError("row too large", fault=StoreFault.REFUSED)


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(1, 50))
def test_all_are_written_but_those_that_cannot_be(
    count: int, hated: set[int], batch_rows: int
) -> None:
    async def scene() -> None:
        log = PuppetLog()
        faults = [REFUSED, OverflowError("too large for SQLite")]
        log.hated = {f"{at:04}": faults[at % 2] for at in hated}
        options = ExposureBufferOptions(flush_s=3600.0, retry_s=3600.0, batch_rows=batch_rows)
        buffer = ExposureBuffer(log, options)
        for one in numbered(count):
            buffer.put(one)
        await buffer.flush()
        bad = [at for at in hated if at < count]
        assert log.written == [one for one in numbered(count) if one.prediction_id not in log.hated]
        assert log.dropped.get("e", 0) == len(bad)
        assert (buffer.num_bytes, buffer.dropped("e")) == (0, 0)
        assert await buffer.close(1) == 0

    asyncio.run(scene())


async def test_one_that_cannot_be_written_is_found_quickly_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = PuppetLog()
    log.hated = {"0700": REFUSED, "0300": REFUSED}
    buffer = ExposureBuffer(log, BY_HAND)
    for one in numbered(1000):
        buffer.put(one)
    await buffer.flush()
    assert len(log.written) == 998
    assert log.num_asked <= 2 * (2 * 10 + 1) + 2
    (record,) = caplog.records
    assert record.message == (
        "an exposure of experiment 'e' cannot be written, and is dropped: row too large; further "
        "ones are only counted"
    )
    await buffer.close(1)


@pytest.mark.parametrize("fault", [StoreFault.REFUSED, StoreFault.GARBAGE, StoreFault.TIMEOUT])
async def test_where_nothing_can_be_written_nothing_is_dropped(fault: StoreFault) -> None:
    log = PuppetLog()
    log.fault = StoreError("the login is refused", fault=fault)
    buffer = ExposureBuffer(log, BY_HAND)
    for one in numbered(100):
        buffer.put(one)
    await buffer.flush()
    assert log.num_asked <= 10
    assert (buffer.num_bytes, buffer.dropped("e")) == (100 * exposure_bytes(ONE), 0)
    log.fault = None
    await buffer.flush()
    assert log.written == numbered(100)
    await buffer.close(1)


async def test_an_id_that_no_index_takes_stops_nobody(shared_postgres: PostgresServer) -> None:
    url = parse_postgres_url(f"{shared_postgres.url}?schema=log_{uuid.uuid4().hex[:12]}")
    log = PostgresExperimentLog(url)
    buffer = ExposureBuffer(log, BY_HAND)
    long = random.Random(1).randbytes(20_000).hex()  # which cannot be compressed
    for one in (*numbered(5), ONE._replace(prediction_id=long), ONE._replace(unit="other")):
        buffer.put(one)
    await buffer.flush()
    tally = await log.tally("e")
    assert (tally.variants["a"].units, tally.dropped) == (2, 1)
    assert buffer.num_bytes == 0
    assert await buffer.close(5) == 0
    await log.close()
