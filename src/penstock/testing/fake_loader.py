"""Loaders for tests: one that works, one moved by hand, one that breaks on a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable
from penstock.core.signature import ModelSignature, TensorSpec

ECHO_SIGNATURE = ModelSignature(
    inputs=(TensorSpec("x", DType.FP32, (-1, 2)),),
    outputs=(TensorSpec("x", DType.FP32, (-1, 2)),),
)
"""What a FakeServable takes and gives unless told otherwise."""


class FakeServable:
    """Answers with its inputs.

    Args:
        version: the version it says it is.
        signature: what it declares; it is not checked.
    """

    def __init__(self, version: int = 1, signature: ModelSignature = ECHO_SIGNATURE) -> None:
        self.version = version
        self._signature = signature

    @property
    def signature(self) -> ModelSignature:
        """What it declares."""
        return self._signature

    async def infer(self, request: InferRequest) -> InferResponse:
        """Give the inputs back as outputs."""
        return InferResponse(request.model, self.version, request.inputs, id=request.id)


class FakeLoader:
    """Loads at once, and keeps a book of what was asked of it.

    Args:
        servable: what a load gives; None: a FakeServable.
        ram_bytes: what the estimate says.

    Attributes:
        num_loads: calls of ``load`` so far, those that failed included.
        num_unloads: calls of ``unload`` so far.
        is_loaded: whether a load returned that was not unloaded since.
        violations: each breach of the Loader's law by its caller, in words; empty is right.
    """

    def __init__(self, servable: Servable | None = None, *, ram_bytes: int = 0) -> None:
        self.servable: Servable = FakeServable() if servable is None else servable
        self.num_loads = 0
        self.num_unloads = 0
        self.is_loaded = False
        self.violations: list[str] = []
        self._ram_bytes = ram_bytes
        self._busy_with = ""

    def estimate(self) -> ResourceEstimate:
        """What the test said."""
        return ResourceEstimate(self._ram_bytes)

    async def load(self) -> Servable:
        """Load; a second load without an unload between is a violation."""
        self.num_loads += 1
        self._enter("load", expected_loaded=False)
        try:
            await self._work_on_load()
            self.is_loaded = True
        finally:
            self._busy_with = ""
        return self.servable

    async def unload(self) -> None:
        """Unload; without a load that returned before it is a violation."""
        self.num_unloads += 1
        self._enter("unload", expected_loaded=True)
        try:
            await self._work_on_unload()
            self.is_loaded = False
        finally:
            self._busy_with = ""

    async def _work_on_load(self) -> None:
        """What takes its time in a load."""

    async def _work_on_unload(self) -> None:
        """What takes its time in an unload."""

    def _enter(self, what: str, *, expected_loaded: bool) -> None:
        if self._busy_with:
            self.violations.append(f"{what} during {self._busy_with}")
        if self.is_loaded is not expected_loaded:
            self.violations.append(f"{what} while {'' if self.is_loaded else 'not '}loaded")
        self._busy_with = what


class PuppetLoader(FakeLoader):
    """Does nothing until it is pulled: loads and unloads end when the test says so.

    Attributes:
        loading: set while a load waits to be pulled.
        unloading: set while an unload waits to be pulled.
    """

    def __init__(self, servable: Servable | None = None, *, ram_bytes: int = 0) -> None:
        super().__init__(servable, ram_bytes=ram_bytes)
        self.loading = asyncio.Event()
        self.unloading = asyncio.Event()
        self._string: asyncio.Future[None] | None = None

    def finish_load(self) -> None:
        """Let the waiting load return."""
        self._pull(self.loading).set_result(None)

    def fail_load(self, error: BaseException | None = None) -> None:
        """Let the waiting load raise; None: a LoadFailed that may pass."""
        failed = LoadFailed("the puppet was told to fail", retryable=True)
        self._pull(self.loading).set_exception(error or failed)

    def finish_unload(self) -> None:
        """Let the waiting unload return."""
        self._pull(self.unloading).set_result(None)

    async def _work_on_load(self) -> None:
        await self._hang(self.loading)

    async def _work_on_unload(self) -> None:
        await self._hang(self.unloading)

    async def _hang(self, waiting: asyncio.Event) -> None:
        self._string = asyncio.get_running_loop().create_future()
        waiting.set()
        try:
            await self._string
        finally:
            waiting.clear()

    def _pull(self, waiting: asyncio.Event) -> asyncio.Future[None]:
        if self._string is None or not waiting.is_set():
            raise AssertionError("nothing waits for this string to be pulled")
        waiting.clear()
        return self._string


class FaultyLoader(FakeLoader):
    """Breaks on a script.

    Args:
        script: one entry per load, in order: an error to raise, or None to work; after the last
            entry every load works.
        estimate_error: what ``estimate`` raises; None: it works.
        unload_error: what ``unload`` raises, against its contract; None: it works.
    """

    def __init__(
        self,
        script: Sequence[BaseException | None] = (),
        *,
        estimate_error: BaseException | None = None,
        unload_error: BaseException | None = None,
    ) -> None:
        super().__init__()
        self._script = list(script)
        self._estimate_error = estimate_error
        self._unload_error = unload_error

    def estimate(self) -> ResourceEstimate:
        """Raise what the script says, or need nothing."""
        if self._estimate_error is not None:
            raise self._estimate_error
        return super().estimate()

    async def _work_on_load(self) -> None:
        error = self._script.pop(0) if self._script else None
        if error is not None:
            raise error

    async def _work_on_unload(self) -> None:
        if self._unload_error is not None:
            raise self._unload_error
