"""Pruning: when what is old is forgotten, and that a failure is no write's."""

from __future__ import annotations

import logging

import pytest

from penstock.core.errors import StoreError
from penstock.stores.experiment_log_pruning import PRUNE_EVERY_S, Pruning
from penstock.testing.fake_clock import FakeClock


class Pieces:
    """Forgets; ``left`` says how often there is more, ``fault`` why it fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.left = 0
        self.fault = ""

    async def forget(self) -> bool:
        self.calls += 1
        if self.fault:
            raise StoreError(self.fault)
        self.left -= 1
        return self.left >= 0


async def test_it_goes_on_with_each_write_while_there_is_more_then_rests_an_hour() -> None:
    pieces, clock = Pieces(), FakeClock()
    pruning = Pruning(pieces.forget, clock.monotonic_ns)
    pieces.left = 2
    for calls in (1, 2, 3, 3):
        await pruning.turn()
        assert pieces.calls == calls
    clock.advance(PRUNE_EVERY_S - 1)
    await pruning.turn()
    assert pieces.calls == 3
    clock.advance(1)
    await pruning.turn()
    assert pieces.calls == 4


async def test_a_failure_is_told_once_and_tried_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pieces, clock = Pieces(), FakeClock()
    pruning = Pruning(pieces.forget, clock.monotonic_ns)
    pieces.fault = "the disk is full"
    with caplog.at_level(logging.WARNING, "penstock.stores"):
        for calls in (1, 2):
            await pruning.turn()
            await pruning.turn()
            assert pieces.calls == calls
            clock.advance(60)
    assert [one.message for one in caplog.records] == [
        "the experiment log does not forget what is old: the disk is full"
    ]
