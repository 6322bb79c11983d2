"""What every Loader promises. An implementation's test inherits it and makes the loaders."""

import abc
import asyncio

import pytest

from penstock.core.errors import LoadFailed
from penstock.core.loader import Loader
from penstock.core.signature import ModelSignature

LIMIT_S = 30.0


class LoaderContract(abc.ABC):
    """The law of ``core/loader.py`` as tests."""

    @abc.abstractmethod
    def make_loader(self) -> Loader:
        """A loader of an artifact that is in order."""

    @abc.abstractmethod
    def make_broken_loader(self) -> Loader:
        """A loader of an artifact that cannot be loaded, now or later."""

    async def test_the_estimate_needs_no_load(self) -> None:
        """It may be asked at any time, is never negative and never grows."""
        loader = self.make_loader()
        before = loader.estimate()
        assert before.ram_bytes >= 0
        await asyncio.wait_for(loader.load(), LIMIT_S)
        assert loader.estimate().ram_bytes <= before.ram_bytes
        await asyncio.wait_for(loader.unload(), LIMIT_S)

    async def test_a_load_gives_a_servable_with_its_signature(self) -> None:
        loader = self.make_loader()
        servable = await asyncio.wait_for(loader.load(), LIMIT_S)
        assert isinstance(servable.signature, ModelSignature)
        assert servable.signature.outputs
        await asyncio.wait_for(loader.unload(), LIMIT_S)

    async def test_a_load_does_not_hold_the_event_loop(self) -> None:
        """Others run while it loads, and a cancelled caller is not kept waiting."""
        loader = self.make_loader()
        task = asyncio.create_task(loader.load())
        await asyncio.sleep(0)
        await asyncio.wait_for(task, LIMIT_S)
        await asyncio.wait_for(loader.unload(), LIMIT_S)

    async def test_after_an_unload_it_can_be_loaded_again(self) -> None:
        """A version that is wanted again may come with the same loader."""
        loader = self.make_loader()
        for _ in range(2):
            await asyncio.wait_for(loader.load(), LIMIT_S)
            await asyncio.wait_for(loader.unload(), LIMIT_S)

    async def test_a_broken_artifact_is_load_failed_and_may_be_tried_again(self) -> None:
        loader = self.make_broken_loader()
        for _ in range(2):
            with pytest.raises(LoadFailed) as caught:
                await asyncio.wait_for(loader.load(), LIMIT_S)
            assert caught.value.message

    async def test_two_loaders_are_strangers(self) -> None:
        first, second = self.make_loader(), self.make_loader()
        one, other = await asyncio.wait_for(asyncio.gather(first.load(), second.load()), LIMIT_S)
        assert one is not other
        await asyncio.wait_for(first.unload(), LIMIT_S)
        assert other.signature.outputs
        await asyncio.wait_for(second.unload(), LIMIT_S)
