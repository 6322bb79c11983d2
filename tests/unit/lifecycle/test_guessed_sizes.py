"""A size that was concluded from other models makes room or waits; it refuses nobody."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import LoadFailed
from penstock.core.resources import ResourceEstimate
from penstock.lifecycle.on_demand import OnDemandOptions
from penstock.testing.fake_loader import FakeLoader

from .building import MIB, model
from .test_on_demand import LIMIT_S, Shop, cold, sized


class GuessedLoader(FakeLoader):
    """Knows some of its size, and guesses the rest until it was loaded.

    Args:
        own_mib: what is known.
        guessed_mib: what others suggest beyond.
        actual_mib: what it says once it was loaded; None: it still guesses.
    """

    def __init__(self, own_mib: int, guessed_mib: int, actual_mib: int | None = None) -> None:
        super().__init__()
        self._estimate = ResourceEstimate((own_mib + guessed_mib) * MIB, guessed_mib * MIB)
        self._actual_mib = actual_mib

    def estimate(self) -> ResourceEstimate:
        if self.num_loads and self._actual_mib is not None:
            return ResourceEstimate(self._actual_mib * MIB)
        return self._estimate


async def settled(shop: Shop) -> None:
    await asyncio.wait_for(shop.manager.wait_settled(), LIMIT_S)


async def test_an_outlier_keeps_no_model_out_of_a_small_budget() -> None:
    shop = Shop(budget_mib=20)
    await shop.world.serve(cold("a", sized(5)), cold("b", GuessedLoader(2, 400, 3)))
    await shop.use("a", "b")
    await settled(shop)
    assert shop.loaded() == ["b"], "the guess has made room, all there is"
    assert shop.manager.held_bytes == 3 * MIB
    await shop.use("a")
    assert shop.loaded() == ["a", "b"]


async def test_a_guess_waits_for_those_in_use() -> None:
    shop = Shop(OnDemandOptions(room_wait_s=4), budget_mib=20)
    await shop.world.serve(cold("a", sized(15)), cold("b", GuessedLoader(2, 10)))
    lease = await asyncio.wait_for(shop.ask("a"), LIMIT_S)
    asking = shop.ask("b")
    await asyncio.sleep(0)
    assert not asking.done()
    lease.release()
    (await asyncio.wait_for(asking, LIMIT_S)).release()
    assert shop.loaded() == ["b"]


async def test_what_is_known_of_a_model_itself_still_refuses_it() -> None:
    shop = Shop(budget_mib=20)
    await shop.world.serve(cold("a", sized()), cold("b", GuessedLoader(30, 400)))
    await shop.use("a")
    with pytest.raises(LoadFailed, match="'b' version 1 needs 30 MiB of memory, "):
        await asyncio.wait_for(shop.ask("b"), LIMIT_S)
    assert shop.loaded() == ["a"], "nobody went for nothing"


async def test_without_loading_on_demand_guesses_share_what_there_is() -> None:
    shop = Shop(budget_mib=20)
    loaders = {name: GuessedLoader(2, 400) for name in "abcd"}
    await shop.world.serve(*(model(name, {1: one}) for name, one in loaders.items()))
    assert shop.loaded() == ["a", "b", "c", "d"], "no guess at one refuses another"
    assert shop.manager.held_bytes <= 20 * MIB


async def test_a_guess_at_others_refuses_no_model_whose_size_is_known() -> None:
    shop = Shop(budget_mib=20)
    await shop.world.serve(model("a", {1: GuessedLoader(2, 400)}), model("b", {1: sized(15)}))
    assert shop.loaded() == ["a", "b"]
    assert shop.manager.held_bytes == 17 * MIB
