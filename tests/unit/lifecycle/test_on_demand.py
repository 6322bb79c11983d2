"""Cold models: loaded once for all who wait, unloaded for others, refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from penstock.core.deadline import Deadline
from penstock.core.errors import DeadlineExceeded, LoadFailed, NotFound, NotReady, Overloaded
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.loader import Loader
from penstock.core.messages import InferRequest
from penstock.core.source import AspiredModel
from penstock.core.tensor import Tensor
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import ManagerOptions
from penstock.lifecycle.on_demand import OnDemand, OnDemandOptions
from penstock.repository.manifest import ByteSize, Queue
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

from .building import MIB, World, model, turn

LIMIT_S = 5


def cold(
    name: str,
    loader: Loader,
    revision: str = "a",
    labels: Mapping[str, int] | None = None,
) -> AspiredModel:
    return msgspec.structs.replace(model(name, {1: loader}, revision, labels), on_demand=True)


def sized(mib: int = 10) -> FakeLoader:
    return FakeLoader(ram_bytes=mib * MIB)


@dataclass
class Shop:
    """A world with room for two models of 10 MiB, and a door for requests."""

    options: OnDemandOptions = field(default_factory=OnDemandOptions)
    queue: Queue = field(default_factory=Queue)
    budget_mib: int = 20
    min_loaded_s: float = 0.0

    def __post_init__(self) -> None:
        once = LoadOptions(max_attempts=1)
        self.world = World(
            ManagerOptions(
                load=once,
                memory_budget_bytes=self.budget_mib * MIB,
                min_loaded_s=self.min_loaded_s,
            )
        )
        self.manager, self.clock = self.world.manager, self.world.clock
        self.on_demand = OnDemand(
            self.manager, self.options, lambda _: self.queue, self.clock, self.clock.sleep
        )

    def ask(
        self,
        name: str,
        choice: VersionChoice = LATEST,
        *,
        timeout_s: float | None = None,
        inputs: tuple[Tensor, ...] = (),
    ) -> asyncio.Task[ServableHandle]:
        request = InferRequest(name, inputs, choice)
        if timeout_s is not None:
            request.deadline = Deadline.after(timeout_s, self.clock.monotonic_ns())
        return asyncio.create_task(self.on_demand.fetch(request))

    async def use(self, *names: str) -> None:
        """Ask for these models, one after the other, and give each back."""
        for name in names:
            self.clock.advance(0.001)
            (await asyncio.wait_for(self.ask(name), LIMIT_S)).release()

    def loaded(self) -> list[str]:
        return [row.id.name for row in self.manager.statuses() if row.state.value == "ready"]

    def told(self) -> dict[str, str]:
        return {row.id.name: row.reason for row in self.manager.statuses()}


async def test_nothing_is_loaded_before_it_is_asked_for_and_the_server_is_ready() -> None:
    shop, loader = Shop(), sized()
    await shop.world.serve(cold("m", loader))
    assert (loader.num_loads, shop.manager.is_ready()) == (0, True)
    assert shop.told() == {"m": "not loaded yet; loads on demand"}
    with pytest.raises(NotReady, match="'m' is not in memory now; it is loaded on demand"):
        shop.manager.handle("m")
    with await asyncio.wait_for(shop.ask("m"), LIMIT_S) as handle:
        assert handle.servable is loader.servable
    assert shop.loaded() == ["m"]


async def test_the_least_recently_used_goes_and_comes_again() -> None:
    shop = Shop()
    loaders = {name: sized() for name in "abc"}
    await shop.world.serve(*(cold(name, one) for name, one in loaders.items()))
    await shop.use("a", "b", "a", "c")
    await asyncio.wait_for(shop.manager.wait_settled(), LIMIT_S)
    assert shop.loaded() == ["a", "c"]
    assert shop.told()["b"] == "unloaded to make room; loads on demand"
    assert shop.manager.num_evictions == 1
    await shop.use("b")
    assert shop.loaded() == ["b", "c"]
    assert shop.manager.held_bytes == 20 * MIB
    assert [one.violations for one in loaders.values()] == [[], [], []]


async def test_a_model_that_is_kept_loaded_never_goes() -> None:
    shop = Shop()
    await shop.world.serve(model("kept", {1: sized()}), cold("a", sized()), cold("b", sized()))
    assert shop.loaded() == ["kept"]
    await shop.use("a", "b", "a")
    assert shop.loaded() == ["a", "kept"]


async def test_many_waiting_requests_cause_one_load() -> None:
    shop, loader = Shop(), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("m", loader))
    asking = [shop.ask("m") for _ in range(50)]
    await asyncio.wait_for(loader.loading.wait(), LIMIT_S)
    assert shop.on_demand.num_waiting == 50
    loader.finish_load()
    handles = await asyncio.wait_for(asyncio.gather(*asking), LIMIT_S)
    assert (loader.num_loads, len(handles), shop.on_demand.num_waiting) == (1, 50, 0)
    for handle in handles:
        handle.release()


async def test_one_that_gives_up_disturbs_no_other_and_no_load() -> None:
    shop, loader = Shop(), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("m", loader))
    patient, fickle, hasty = shop.ask("m"), shop.ask("m"), shop.ask("m", timeout_s=0.01)
    await asyncio.wait_for(loader.loading.wait(), LIMIT_S)
    fickle.cancel()
    with pytest.raises(DeadlineExceeded, match="'m' was not loaded within the request's time"):
        await asyncio.wait_for(hasty, LIMIT_S)
    loader.finish_load()
    (await asyncio.wait_for(patient, LIMIT_S)).release()
    assert fickle.cancelled()
    assert (loader.num_loads, loader.violations) == (1, [])


async def test_a_load_goes_on_when_everybody_has_given_up() -> None:
    shop, loader = Shop(), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("m", loader))
    asking = shop.ask("m")
    await asyncio.wait_for(loader.loading.wait(), LIMIT_S)
    asking.cancel()
    await turn()
    assert "bring m" not in {task.get_name() for task in asyncio.all_tasks()}
    loader.finish_load()
    await asyncio.wait_for(shop.manager.wait_settled(), LIMIT_S)
    assert shop.loaded() == ["m"]


async def test_nothing_is_loaded_for_a_request_that_is_too_late() -> None:
    shop, loader = Shop(), sized()
    await shop.world.serve(cold("m", loader))
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(shop.ask("m", timeout_s=0), LIMIT_S)
    assert loader.num_loads == 0


async def test_a_budget_without_loading_on_demand_is_a_limit() -> None:
    shop = Shop(budget_mib=10)
    first, second = model("a", {1: sized()}), model("b", {1: sized()})
    await shop.world.serve(first, second)
    assert (shop.loaded(), shop.manager.is_ready()) == (["a"], False)
    assert shop.told()["b"].endswith("no room now: 0 B of the budget of 10 MiB are free")
    await shop.world.serve(second)
    assert shop.loaded() == ["b"]


async def test_a_request_without_a_deadline_has_its_models_for_all_of_its_way() -> None:
    shop = Shop(queue=Queue(default_timeout_s=7))
    await shop.world.serve(cold("m", sized()))
    request = InferRequest("m", ())
    (await asyncio.wait_for(shop.on_demand.fetch(request), LIMIT_S)).release()
    assert request.deadline == Deadline.after(7, shop.clock.monotonic_ns())


async def test_a_broken_model_is_told_to_all_and_tried_again_after_a_while() -> None:
    shop = Shop(OnDemandOptions(initial_backoff_s=2))
    loader = FaultyLoader([LoadFailed("no good")] * 2)
    await shop.world.serve(cold("m", loader))
    answers = await asyncio.wait_for(
        asyncio.gather(shop.ask("m"), shop.ask("m"), return_exceptions=True), LIMIT_S
    )
    assert [type(one) for one in answers] == [LoadFailed, LoadFailed]
    assert (str(answers[0]), loader.num_loads) == (
        "'m' version 1: no good; it is tried again in 2.0 s at the earliest",
        1,
    )
    assert shop.manager.is_ready()
    assert shop.told() == {"m": "no good"}
    shop.clock.advance(1.5)
    with pytest.raises(LoadFailed) as caught:
        await asyncio.wait_for(shop.ask("m"), LIMIT_S)
    assert (caught.value.retryable, caught.value.retry_after_s, loader.num_loads) == (True, 0.5, 1)
    shop.clock.advance(1)
    with pytest.raises(LoadFailed, match=r"in 4\.0 s"):
        await asyncio.wait_for(shop.ask("m"), LIMIT_S)
    assert loader.num_loads == 2
    shop.clock.advance(5)
    await shop.use("m")
    assert (loader.num_loads, shop.loaded()) == (3, ["m"])


async def test_new_files_of_a_broken_model_are_tried_at_once() -> None:
    shop = Shop(OnDemandOptions(initial_backoff_s=1000))
    await shop.world.serve(cold("m", FaultyLoader([LoadFailed("no good")])))
    with pytest.raises(LoadFailed):
        await asyncio.wait_for(shop.ask("m"), LIMIT_S)
    await shop.world.serve(cold("m", sized(), revision="b"))
    await shop.use("m")
    assert shop.loaded() == ["m"]


async def test_a_model_in_use_stays_and_the_other_is_refused_with_the_reason() -> None:
    shop = Shop(OnDemandOptions(room_wait_s=3), budget_mib=10)
    await shop.world.serve(cold("a", sized()), cold("b", sized()))
    held = await asyncio.wait_for(shop.ask("a"), LIMIT_S)
    refused = shop.ask("b")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(), LIMIT_S)
    assert shop.told()["b"].startswith("it needs 10 MiB of memory, which other models hold (1 in")
    shop.clock.advance(3)
    with pytest.raises(Overloaded) as caught:
        await asyncio.wait_for(refused, LIMIT_S)
    assert caught.value.message.startswith("'b' cannot be loaded now: it needs 10 MiB of memory")
    assert (caught.value.retryable, shop.loaded()) == (True, ["a"])
    assert shop.told()["b"] == "not loaded yet; loads on demand"
    held.release()


async def test_one_that_waits_for_room_has_it_when_the_last_request_ends() -> None:
    shop = Shop(budget_mib=10)
    await shop.world.serve(cold("a", sized()), cold("b", sized()))
    held = await asyncio.wait_for(shop.ask("a"), LIMIT_S)
    waiting = shop.ask("b")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(), LIMIT_S)
    held.release()
    (await asyncio.wait_for(waiting, LIMIT_S)).release()
    assert shop.loaded() == ["b"]


async def test_the_wish_for_a_model_that_nobody_waits_for_is_taken_back() -> None:
    shop, loader = Shop(budget_mib=10), sized()
    await shop.world.serve(cold("a", sized()), cold("b", loader))
    held = await asyncio.wait_for(shop.ask("a"), LIMIT_S)
    waiting = shop.ask("b")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(), LIMIT_S)
    waiting.cancel()
    await turn()
    assert shop.clock.sleeping_s == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    held.release()
    await turn()
    assert (shop.loaded(), loader.num_loads) == (["a"], 0)
    assert shop.told()["b"] == "not loaded yet; loads on demand"


async def test_a_large_model_is_not_starved_by_small_ones_that_come_later() -> None:
    shop = Shop()
    sizes = {"a": 10, "b": 10, "c": 20, "d": 10}
    await shop.world.serve(*(cold(name, sized(mib)) for name, mib in sizes.items()))
    a, b = [await asyncio.wait_for(shop.ask(name), LIMIT_S) for name in "ab"]
    large = shop.ask("c")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(1), LIMIT_S)
    small = shop.ask("d")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(2), LIMIT_S)
    a.release()
    await turn()
    assert shop.loaded() == ["a", "b"]
    b.release()
    (await asyncio.wait_for(large, LIMIT_S)).release()
    (await asyncio.wait_for(small, LIMIT_S)).release()
    assert shop.loaded() == ["d"]


async def test_one_that_had_no_room_is_not_loaded_before_somebody_asks_again() -> None:
    shop, loader = Shop(), sized()
    kept = model("kept", {1: sized(15)})
    await shop.world.serve(kept, cold("m", loader))
    with pytest.raises(LoadFailed, match="needs 10 MiB"):
        await asyncio.wait_for(shop.ask("m"), LIMIT_S)
    await shop.world.serve(cold("m", loader))
    assert (shop.loaded(), loader.num_loads) == ([], 0)
    shop.clock.advance(2)
    await shop.use("m")
    assert shop.loaded() == ["m"]


async def test_a_model_that_has_just_come_stays_for_its_time() -> None:
    shop = Shop(budget_mib=10, min_loaded_s=2)
    await shop.world.serve(cold("a", sized()), cold("b", sized()))
    (await asyncio.wait_for(shop.ask("a"), LIMIT_S)).release()
    waiting = shop.ask("b")
    await asyncio.wait_for(shop.clock.wait_for_sleepers(), LIMIT_S)
    assert shop.clock.sleeping_s == [2.0]
    assert "1 loaded less than 2 s ago" in shop.told()["b"]
    shop.clock.advance(2)
    (await asyncio.wait_for(waiting, LIMIT_S)).release()
    assert shop.loaded() == ["b"]


async def test_one_that_is_always_loaded_or_loaded_by_hand_does_not_wait_that_long() -> None:
    shop = Shop(budget_mib=10, min_loaded_s=2)
    await shop.world.serve(cold("a", sized()), cold("b", sized()))
    await shop.use("a")
    demanded = shop.manager.demand("b", is_urgent=True)
    await asyncio.wait_for(shop.manager.wait_settled(["b"]), LIMIT_S)
    assert demanded is not None
    shop.manager.forgo(demanded)
    assert shop.loaded() == ["b"]
    kept = model("kept", {1: sized()})
    await shop.world.serve(cold("a", sized()), cold("b", sized()), kept)
    assert shop.loaded() == ["kept"]


async def test_one_that_can_never_fit_fails_and_evicts_nobody() -> None:
    shop = Shop()
    await shop.world.serve(cold("a", sized()), cold("huge", sized(21)))
    await shop.use("a")
    with pytest.raises(
        LoadFailed, match="needs 21 MiB of memory, more than the whole budget of 20"
    ):
        await asyncio.wait_for(shop.ask("huge"), LIMIT_S)
    assert shop.loaded() == ["a"]


async def test_one_that_turns_out_larger_than_thought_makes_others_go() -> None:
    class Growing(FakeLoader):
        async def _work_on_load(self) -> None:
            self._ram_bytes = 15 * MIB

    shop = Shop()
    await shop.world.serve(cold("a", sized()), cold("b", Growing(ram_bytes=MIB)))
    await shop.use("a", "b")
    await asyncio.wait_for(shop.manager.wait_settled(), LIMIT_S)
    assert (shop.loaded(), shop.manager.held_bytes) == (["b"], 15 * MIB)


async def test_the_queue_of_a_cold_model_is_bounded() -> None:
    queue = Queue(max_requests=2, max_bytes=ByteSize(100))
    shop = Shop(OnDemandOptions(max_waiting_requests=3), queue=queue)
    a, b = PuppetLoader(ram_bytes=MIB), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("a", a), cold("b", b))
    waiting = [shop.ask("a"), shop.ask("a")]
    await turn()
    with pytest.raises(Overloaded, match="its queue is full: 2 requests of 2"):
        await shop.ask("a")
    large = Tensor.from_array("x", np.zeros((1, 26), np.float32))
    with pytest.raises(Overloaded, match="0 bytes of 100 wait"):
        await shop.ask("b", inputs=(large,))
    waiting.append(shop.ask("b"))
    await turn()
    with pytest.raises(Overloaded, match="3 requests wait for such models"):
        await shop.ask("b")
    a.finish_load()
    b.finish_load()
    for handle in await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S):
        handle.release()


async def test_what_nobody_can_have_is_said_at_once() -> None:
    shop = Shop()
    await shop.world.serve(cold("m", sized(), labels={"lost": 7}))
    for name, choice, kind in (
        ("nobody", LATEST, NotFound),
        ("m", VersionChoice(9), NotFound),
        ("m", VersionChoice(label="nope"), NotFound),
        ("m", VersionChoice(label="lost"), NotReady),
    ):
        with pytest.raises(kind):
            await asyncio.wait_for(shop.ask(name, choice), LIMIT_S)


async def test_a_model_that_is_taken_away_meanwhile_is_not_found() -> None:
    shop, loader = Shop(), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("m", loader))
    asking = shop.ask("m")
    await asyncio.wait_for(loader.loading.wait(), LIMIT_S)
    shop.manager.set_aspired([])
    loader.finish_load()
    await asyncio.wait_for(loader.unloading.wait(), LIMIT_S)
    loader.finish_unload()
    with pytest.raises((NotFound, NotReady)):
        await asyncio.wait_for(asking, LIMIT_S)


async def test_closing_gives_those_who_wait_their_outcome() -> None:
    shop, loader = Shop(), PuppetLoader(ram_bytes=MIB)
    await shop.world.serve(cold("m", loader))
    asking = shop.ask("m")
    await asyncio.wait_for(loader.loading.wait(), LIMIT_S)
    closing = asyncio.create_task(shop.manager.aclose(LIMIT_S))
    await turn()
    loader.finish_load()
    await asyncio.wait_for(loader.unloading.wait(), LIMIT_S)
    loader.finish_unload()
    await asyncio.wait_for(closing, LIMIT_S)
    with pytest.raises(NotReady, match="shutting down"):
        await asyncio.wait_for(asking, LIMIT_S)
