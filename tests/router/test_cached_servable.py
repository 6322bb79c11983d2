"""A cached version: answers again, with the asker's own id, and no neighbour's trouble."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from penstock.core.errors import DeadlineExceeded, InvalidArgument, ModelFailed
from penstock.core.messages import InferRequest, InferResponse
from penstock.repository.manifest import ResponseCache
from penstock.router.cached_servable import CachedServable
from penstock.stores.memory_backend import MemoryBackend
from penstock.stores.prediction_store import PredictionStore
from penstock.telemetry.stats import StatDuration
from penstock.testing.faulty_backend import FaultyBackend
from penstock.testing.puppet_instance import PuppetInstance
from tests.unit.scheduler.playing import (
    ask,
    clock,
    deadline,
    pairs,
    play,
    puppet,
    schedule,
    settle,
    values,
)


class Cached:
    """A cached version whose instance moves when it is pulled."""

    def __init__(self, *, revision: str = "r1", memory: MemoryBackend | None = None) -> None:
        self.memory = memory or MemoryBackend(clock=clock())
        self.backend = FaultyBackend(self.memory)
        self.store = PredictionStore(self.backend, name="response_cache", clock=clock())
        self.instance: PuppetInstance = puppet()
        self.scheduler = schedule(self.instance)
        self.servable = CachedServable(
            self.scheduler,
            self.store,
            ResponseCache(ttl_s=60),
            revision=revision,
            clock=clock(),
        )

    def sent(self, request: InferRequest) -> asyncio.Task[InferResponse]:
        return asyncio.create_task(self.servable.infer(request))

    async def answered(self, request: InferRequest, result: Any = None) -> InferResponse:
        """Ask, and let the model answer if it is asked."""
        task = self.sent(request)
        await settle()
        if self.instance.is_busy:
            self.instance.finish(result)
        return await task


def test_the_same_question_is_answered_again() -> None:
    async def scene() -> None:
        it = Cached()
        first = await it.answered(ask(1, 2, id="one"))
        again = await it.answered(ask(1, 2, id="two", priority=3))
        assert len(it.instance.works) == 1
        assert (first.id, again.id) == ("one", "two")
        assert again.outputs == first.outputs
        assert (again.model, again.version) == ("m", 3)
        other = await it.answered(ask(1, 3))
        assert values(other) == [1, 3]
        assert len(it.instance.works) == 2
        await it.store.close()

    play(scene())


def test_an_answer_is_forgotten_after_its_time() -> None:
    async def scene() -> None:
        it = Cached()
        await it.answered(ask(1))
        await it.store.drain(1)
        await asyncio.sleep(59)
        await it.answered(ask(1))
        assert len(it.instance.works) == 1
        await asyncio.sleep(1)
        await it.answered(ask(1))
        assert len(it.instance.works) == 2
        await it.store.close()

    play(scene())


def test_wanted_outputs_parameters_and_revision_are_part_of_the_question() -> None:
    async def scene() -> None:
        it = Cached()
        await it.answered(ask(1))
        await it.answered(ask(1, outputs=("x",)))
        await it.answered(ask(1, parameters={"p": 1}))
        await it.answered(ask(1, parameters={"p": True}))
        assert len(it.instance.works) == 4
        await it.store.drain(1)
        reloaded = Cached(revision="r2", memory=it.memory)
        await reloaded.answered(ask(1))
        assert len(reloaded.instance.works) == 1
        await it.store.close()

    play(scene())


def test_requests_at_once_ask_the_model_once() -> None:
    async def scene() -> None:
        it = Cached()
        tasks = [it.sent(ask(7, id=str(n))) for n in range(9)]
        await settle()
        it.instance.finish()
        got = await asyncio.gather(*tasks)
        assert [response.id for response in got] == [str(n) for n in range(9)]
        assert all(values(response) == [7] for response in got)
        assert len(it.instance.works) == 1
        stats = it.scheduler.stats
        assert stats.outcomes == {"ok": 9}
        assert (stats.cache_misses, stats.cache_hits, stats.rows) == (1, 8, 1)
        seen = stats.snapshot()
        assert seen.success.count == 9
        assert seen.cache_hit.count == 8
        assert seen.cache_miss == StatDuration(1, seen.cache_miss.ns)
        await it.store.close()

    play(scene())


def test_nobody_holds_anothers_arrays() -> None:
    async def scene() -> None:
        it = Cached()
        await it.answered(ask(1))
        one, other = await it.answered(ask(1)), await it.answered(ask(1))
        one.outputs[0].array[:] = np.nan
        assert values(other) == [1]
        assert values(await it.answered(ask(1))) == [1]
        await it.store.close()

    play(scene())


@pytest.mark.parametrize("error", [ModelFailed("broken"), InvalidArgument("no")])
def test_errors_are_not_kept(error: Exception) -> None:
    async def scene() -> None:
        it = Cached()
        with pytest.raises(type(error)):
            await it.answered(ask(1), error)
        assert values(await it.answered(ask(1))) == [1]
        assert len(it.instance.works) == 2
        await it.store.close()

    play(scene())


def test_a_wrong_request_is_refused_as_ever() -> None:
    async def scene() -> None:
        it = Cached()
        with pytest.raises(InvalidArgument, match="unexpected inference input"):
            await it.answered(InferRequest("m", (pairs(1, name="y"),)))
        assert it.instance.works == []
        assert it.scheduler.stats.outcomes == {"invalid_argument": 1}

    play(scene())


def test_who_waits_for_another_has_its_own_deadline() -> None:
    async def scene() -> None:
        it = Cached()
        patient = it.sent(ask(1, deadline=deadline(10)))
        await settle()
        hurried = it.sent(ask(1, deadline=deadline(1)))
        with pytest.raises(DeadlineExceeded):
            await hurried
        assert 101 <= clock().time() < 101.1
        it.instance.finish()
        assert values(await patient) == [1]
        assert it.scheduler.stats.outcomes == {"deadline_exceeded": 1, "ok": 1}
        await it.store.close()

    play(scene())


def test_a_neighbours_deadline_is_not_ours() -> None:
    async def scene() -> None:
        it = Cached()
        hurried = it.sent(ask(1, deadline=deadline(1)))
        await settle()
        patient = it.sent(ask(1, deadline=deadline(10)))
        with pytest.raises(DeadlineExceeded):
            await hurried
        await settle()
        it.instance.finish()
        await settle()
        it.instance.finish()
        assert values(await patient) == [1]
        assert it.scheduler.stats.outcomes == {"deadline_exceeded": 1, "ok": 1}
        await it.store.close()

    play(scene())


def test_who_is_late_already_hears_so() -> None:
    async def scene() -> None:
        it = Cached()
        await it.answered(ask(1))
        with pytest.raises(DeadlineExceeded):
            await it.answered(ask(1, deadline=deadline(-1)))
        await it.store.close()

    play(scene())


def test_cancelling_who_waits_changes_nothing_for_the_other() -> None:
    async def scene() -> None:
        it = Cached()
        first = it.sent(ask(1))
        await settle()
        second = it.sent(ask(1))
        await settle()
        second.cancel()
        await settle()
        it.instance.finish()
        assert values(await first) == [1]
        assert second.cancelled()
        assert it.scheduler.stats.outcomes == {"cancelled": 1, "ok": 1}
        await it.store.close()

    play(scene())


def test_a_store_that_fails_or_hangs_does_not_matter() -> None:
    async def scene() -> None:
        it = Cached()
        it.backend.fail()
        for n in range(10):
            assert values(await it.answered(ask(n))) == [n]
        it.backend.heal()
        await asyncio.sleep(60)
        it.backend.hang()
        started = clock().time()
        for n in range(20, 30):
            task = it.sent(ask(n))
            await it.instance.wait_until_busy()
            it.instance.finish()
            assert values(await task) == [n]
        assert clock().time() - started < 0.5
        it.backend.heal()
        await it.store.close()

    play(scene())


def test_what_is_no_answer_in_the_store_is_computed() -> None:
    async def scene() -> None:
        it = Cached()
        await it.answered(ask(1))
        await it.store.drain(1)
        (key,) = it.memory._items
        assert key.startswith("r:m:3:")
        await it.memory.delete([key])
        from penstock.stores.backend import Item

        await it.memory.set_many([Item(key, b"nonsense")])
        assert values(await it.answered(ask(1))) == [1]
        assert len(it.instance.works) == 2
        await it.store.close()

    play(scene())


def test_large_answers_are_not_kept() -> None:
    async def scene() -> None:
        it = Cached()
        it.servable._options = ResponseCache(ttl_s=60, max_response_bytes=10)  # type: ignore[arg-type]
        await it.answered(ask(1))
        await it.answered(ask(1))
        assert len(it.instance.works) == 2
        assert it.backend.calls == ["get_many"] * 2

    play(scene())


def test_what_no_key_can_hold_is_computed() -> None:
    async def scene() -> None:
        it = Cached()
        for _ in range(2):
            await it.answered(ask(1, parameters={"p": 2**64}))
        assert len(it.instance.works) == 2
        assert it.backend.calls == []

    play(scene())
