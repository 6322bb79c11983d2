"""Telling: each change once, by whoever decides, also where that changes hands."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from penstock.core.errors import StoreError
from penstock.rollout.outside.teller import TOO_OLD_S, Teller
from penstock.rollout.outside.webhook import WebhookSender
from penstock.rollout.spec import Webhook
from penstock.rollout.state import RolloutState
from penstock.telemetry.rollout_stats import RolloutStats
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.outside.test_webhook import AT_ONCE, Post, a_history
from tests.unit.rollout.rollouts import START_MS

HOOK = Webhook(url="http://hook", attempts=1)


class Telling:
    """A process that tells; its webhook takes note."""

    def __init__(self, store: FakeControlStore, post: Post | None = None) -> None:
        self.post = post or Post()
        self.stats = RolloutStats()
        self.clock = FakeClock(wall_ns=(START_MS + 1000) * 1_000_000)
        self.teller = Teller(
            "digits-1",
            "digits",
            store,
            self.stats,
            clock=self.clock,
            make_sender=lambda hook: WebhookSender(hook, AT_ONCE, self.post),
        )

    async def tell(self, state: RolloutState) -> None:
        async with asyncio.timeout(10):
            await self.teller.look(state)
            while not self.teller.is_idle:
                await asyncio.sleep(0)
                await self.teller.look(state)


def a_rollout(changes: int = 3, webhook: Webhook | None = HOOK) -> RolloutState:
    """A rollout of which so much has happened."""
    state = a_history()
    spec = msgspec.structs.replace(state.spec, webhook=webhook)
    return msgspec.structs.replace(state, spec=spec, history=state.history[:changes])


@pytest.fixture
def store() -> FakeControlStore:
    return FakeControlStore()


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock.rollout")


async def test_each_change_is_told_once(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    telling = Telling(store)
    await telling.tell(a_rollout(1))
    await telling.tell(a_rollout(1))
    await telling.tell(a_rollout(3))
    assert telling.post.taken == ["200 draft", "200 canary 5 %", "200 rolled back"]
    assert len(caplog.records) == 3
    assert telling.stats.rollbacks == {"digits": 1}


async def test_the_next_process_goes_on_where_the_last_has_ended(store: FakeControlStore) -> None:
    first, second = Telling(store), Telling(store)
    await first.tell(a_rollout(2))
    await second.tell(a_rollout(3))
    assert second.post.taken == ["200 rolled back"]


async def test_what_the_webhook_has_not_got_is_sent_again_and_not_logged_again(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = Post()
    stuck.may_answer.clear()
    first, second = Telling(store, stuck), Telling(store)
    await first.teller.look(a_rollout(2))
    await stuck.is_asked.wait()
    await first.teller.close()  # it dies
    await second.tell(a_rollout(3))
    assert second.post.taken == ["200 draft", "200 canary 5 %", "200 rolled back"]
    assert len(caplog.records) == 3


async def test_without_a_webhook_there_is_the_log(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    telling = Telling(store)
    await telling.tell(a_rollout(3, None))
    assert (telling.post.taken, len(caplog.records)) == ([], 3)


async def test_what_is_long_past_is_not_told(store: FakeControlStore) -> None:
    telling = Telling(store)
    telling.clock.advance(TOO_OLD_S)
    await telling.tell(a_rollout())
    assert telling.post.taken == []


async def test_another_rollout_of_the_model_begins_anew(store: FakeControlStore) -> None:
    first, second = Telling(store), Telling(store)
    await first.tell(a_rollout())
    second.teller = Teller(
        "digits-2",
        "digits",
        store,
        second.stats,
        clock=second.clock,
        make_sender=lambda hook: WebhookSender(hook, AT_ONCE, second.post),
    )
    await second.tell(msgspec.structs.replace(a_rollout(1), id="digits-2"))
    assert second.post.taken == ["200 draft"]


async def test_a_store_that_fails_makes_nothing_told_twice(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    telling = Telling(store)
    await telling.tell(a_rollout(1))
    store.fault = StoreError("down")
    for _ in range(3):
        with pytest.raises(StoreError):
            await telling.teller.look(a_rollout(2))
    store.fault = None
    await telling.tell(a_rollout(2))
    assert telling.post.taken == ["200 draft", "200 canary 5 %"]
    assert len(caplog.records) == 2


async def test_events_that_are_dropped_are_counted(store: FakeControlStore) -> None:
    telling = Telling(store, Post(404, 200, 404))
    await telling.tell(a_rollout())
    assert telling.stats.undelivered == {"digits": 2}


async def test_a_wrong_url_is_told_of_and_stops_nothing(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    telling = Telling(store)
    await telling.tell(a_rollout(3, Webhook(url="nonsense")))
    assert "webhook.url" in caplog.records[0].getMessage()
    assert len(caplog.records) == 4
