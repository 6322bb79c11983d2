"""How records are shared out among the micro-batches that may begin."""

from __future__ import annotations

import asyncio

import pytest

from penstock.jobs.stream.record import Record
from penstock.jobs.stream.under_way import Limits, UnderWay
from penstock.telemetry.stream_stats import StreamStats

LIMITS = Limits(max_records=100, in_flight=4)


def records(count: int) -> list[Record]:
    return [Record("s", "", str(number), b"") for number in range(count)]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (7, [7]), (8, [4, 4]), (40, [10] * 4), (99, [25, 25, 25, 24]),
     (100, [100])],
)  # fmt: skip
def test_what_came_is_shared_out_unless_it_is_all_a_micro_batch_takes(
    count: int, sizes: list[int]
) -> None:
    came = records(count)
    shares = UnderWay(LIMITS, StreamStats("s")).shares(came)
    assert [len(share) for share in shares] == sizes
    assert [record for share in shares for record in share] == came


async def test_only_micro_batches_that_may_begin_have_a_share() -> None:
    under_way = UnderWay(LIMITS, StreamStats("s"))
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()

    for _ in range(2):
        under_way.begin(records(1), work())
    assert [len(share) for share in under_way.shares(records(40))] == [20, 20]
    under_way.begin(records(1), work())
    assert [len(share) for share in under_way.shares(records(40))] == [40]
    gate.set()
    while under_way:
        await under_way.change(1.0)
