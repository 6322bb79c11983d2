"""Segments are used again, bounded together, and never taken from under a reader."""

import gc
import os

import numpy as np
import pytest

from penstock.runtime.process.shared_memory import Lent, SegmentPool, SharedMemoryBudget

MIB = 1024 * 1024


def lend(pool: SegmentPool, num_bytes: int) -> Lent:
    lent = pool.lend(num_bytes)
    assert lent is not None
    if lent.fd >= 0:
        os.close(lent.fd)
    return lent


def test_a_segment_given_back_is_lent_again_without_its_descriptor() -> None:
    pool = SegmentPool(SharedMemoryBudget(64 * MIB))
    first = lend(pool, MIB)
    assert first.fd >= 0
    assert len(first.segment.bytes) >= MIB
    pool.give_back(first.segment)
    again = lend(pool, MIB // 2)
    assert again.segment is first.segment
    assert again.fd == -1
    assert lend(pool, MIB).segment is not first.segment


def test_a_view_keeps_its_segment_until_nobody_reads_it() -> None:
    pool = SegmentPool(SharedMemoryBudget(64 * MIB))
    lent = lend(pool, MIB)
    lent.segment.bytes[:4] = [1, 2, 3, 4]
    view = pool.lend_view(lent.segment)
    part = view[:16].view(np.float32).reshape(2, 2)[1:]
    del view
    gc.collect()
    assert lend(pool, MIB).segment is not lent.segment
    del part
    gc.collect()
    assert lend(pool, MIB).segment is lent.segment


def test_all_workers_together_keep_to_the_budget() -> None:
    budget = SharedMemoryBudget(3 * MIB)
    first, second = SegmentPool(budget), SegmentPool(budget)
    one = lend(first, 2 * MIB)
    assert second.lend(2 * MIB) is None
    assert lend(second, MIB).segment.num_bytes == MIB
    assert budget.used_bytes == 3 * MIB
    first.give_back(one.segment)
    assert second.lend(2 * MIB) is None, "it is the first pool's, free or not"
    first.close()
    lend(second, 2 * MIB)
    second.close()
    assert budget.used_bytes == 0


def test_a_free_segment_makes_room_for_a_larger_one() -> None:
    budget = SharedMemoryBudget(4 * MIB)
    pool = SegmentPool(budget)
    small = lend(pool, MIB)
    pool.give_back(small.segment)
    large = lend(pool, 4 * MIB)
    assert large.segment.num_bytes == 4 * MIB
    assert pool.dropped() == [small.segment.id]
    assert pool.dropped() == []


def test_few_free_segments_are_kept() -> None:
    budget = SharedMemoryBudget(64 * MIB)
    pool = SegmentPool(budget)
    for lent in [lend(pool, MIB) for _ in range(6)]:
        pool.give_back(lent.segment)
    lend(pool, MIB)
    assert budget.used_bytes == 2 * MIB


def test_without_memory_there_is_no_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = SharedMemoryBudget(64 * MIB)

    def full(fd: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    assert SegmentPool(budget).lend(MIB) is None
    assert budget.used_bytes == 0
