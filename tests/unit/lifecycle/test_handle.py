"""Leases are counted and given back."""

import asyncio

import pytest

from penstock.core.ids import ServableId
from penstock.lifecycle.handle import Leases, ServableHandle
from penstock.testing.fake_loader import FakeServable


def lend(leases: Leases) -> ServableHandle:
    return ServableHandle(ServableId("m", 1), FakeServable(), leases)


def test_a_handle_is_a_lease_until_its_block_ends() -> None:
    leases = Leases()
    with lend(leases) as handle:
        assert leases.count == 1
        assert handle.id == ("m", 1)
    assert leases.count == 0


def test_a_lease_comes_back_when_the_block_raises() -> None:
    leases = Leases()
    with pytest.raises(ValueError, match="boom"), lend(leases):
        raise ValueError("boom")
    assert leases.count == 0


def test_a_second_release_returns_nothing_twice() -> None:
    leases = Leases()
    first, second = lend(leases), lend(leases)
    first.release()
    first.release()
    assert leases.count == 1
    second.release()
    assert leases.count == 0


async def test_waits_for_the_last_lease() -> None:
    leases = Leases()
    first, second = lend(leases), lend(leases)
    waiting = asyncio.create_task(leases.wait_returned())
    first.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    second.release()
    await asyncio.wait_for(waiting, 5)


async def test_revoked_leases_are_not_waited_for() -> None:
    leases = Leases()
    handle = lend(leases)
    waiting = asyncio.create_task(leases.wait_returned())
    await asyncio.sleep(0)
    leases.revoke()
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(leases.wait_returned(), 5)
    handle.release()
