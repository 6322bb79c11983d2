"""The test kit's loaders pass the suite that real ones pass."""

import asyncio

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.loader import Loader
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.tensor import Tensor
from penstock.testing.fake_loader import FakeLoader, FakeServable, FaultyLoader, PuppetLoader

from .loader_contract import LoaderContract


class TestFakeLoader(LoaderContract):
    def make_loader(self) -> Loader:
        return FakeLoader()

    def make_broken_loader(self) -> Loader:
        return FaultyLoader([LoadFailed("corrupt")] * 2)


class TestFaultyLoader(LoaderContract):
    def make_loader(self) -> Loader:
        return FaultyLoader()

    def make_broken_loader(self) -> Loader:
        return FaultyLoader([LoadFailed("corrupt")] * 2)


class _Eager(PuppetLoader):
    """A puppet whose strings are pulled as soon as it hangs on them."""

    def __init__(self, error: LoadFailed | None = None) -> None:
        super().__init__()
        self._error = error

    async def _hang(self, waiting: asyncio.Event) -> None:
        asyncio.get_running_loop().call_soon(self._let_go, waiting)
        await super()._hang(waiting)

    def _let_go(self, waiting: asyncio.Event) -> None:
        if waiting is self.unloading:
            self.finish_unload()
        elif self._error is not None:
            self.fail_load(self._error)
        else:
            self.finish_load()


class TestPuppetLoader(LoaderContract):
    def make_loader(self) -> Loader:
        return _Eager()

    def make_broken_loader(self) -> Loader:
        return _Eager(LoadFailed("corrupt"))


async def test_the_fake_servable_echoes() -> None:
    tensor = Tensor.from_buffer("x", DType.FP32, (1, 2), b"\0" * 8)
    response = await FakeServable(3).infer(InferRequest("m", (tensor,), id="7"))
    assert response == InferResponse("m", 3, (tensor,), id="7")


async def test_a_fake_tells_who_broke_the_law() -> None:
    loader = FakeLoader()
    await loader.unload()
    await loader.load()
    await loader.load()
    assert loader.violations == ["unload while not loaded", "load while loaded"]
