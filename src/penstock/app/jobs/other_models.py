"""OtherModels: what answers when a job's model calls another, started when one does so first."""

from __future__ import annotations

import asyncio
import contextlib
import os

from penstock.app.build import Assembly
from penstock.app.load_settings import load_settings
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient


class OtherModels:
    """An ``InferenceClient`` on the models of one path, each loaded when it is asked first.

    Args:
        path: where the job's own model is: the others are beside it.

    Concurrency: one event loop's thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._exit = contextlib.AsyncExitStack()
        self._client: InferenceClient | None = None

    async def infer(self, request: InferRequest) -> InferResponse:
        """See ``InferenceClient.infer``."""
        async with self._lock:
            if self._client is None:
                self._client = (await self._start()).service
        return await self._client.infer(request)

    async def close(self) -> None:
        """End what was started."""
        async with self._lock:
            await self._exit.aclose()

    async def _start(self) -> Assembly:
        from penstock.app.embedded import assembled

        flags = {"memory.on_demand": True, "model_control": "none", "control_store": ""}
        settings, _ = load_settings(config=None, environ=os.environ, flags=flags)
        return await self._exit.enter_async_context(assembled([self._path], settings))
