"""Router: which version answers a request."""

from __future__ import annotations

from typing import Protocol

from penstock.core.errors import NotReady
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.lifecycle.handle import ServableHandle


class Lender(Protocol):
    """Who lends handles; the Manager."""

    def handle(self, name: str, choice: VersionChoice) -> ServableHandle:
        """Lend the version asked for."""
        ...


class Fetcher(Protocol):
    """Who brings models that are loaded on demand; ``OnDemand``."""

    async def fetch(self, request: InferRequest) -> ServableHandle:
        """Lend the version a request wants, once it is in memory."""
        ...


class Router:
    """Sends a request to the version it asks for. A ``core.InferenceClient``.

    A number wins; a label is looked up; neither means the newest version that is ready.

    Args:
        lender: lends what is loaded.
        fetcher: brings what is not; None: such a request fails.
    """

    def __init__(self, lender: Lender, fetcher: Fetcher | None = None) -> None:
        self._lend = lender.handle
        self._fetcher = fetcher

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request, holding its version for as long as that takes.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it exists but does not serve.
            LoadFailed, Overloaded, DeadlineExceeded: it was not loaded on demand.
            PenstockError: whatever the servable answers.
        """
        try:
            handle = self._lend(request.model, request.choice)
        except NotReady:
            if self._fetcher is None:
                raise
            handle = await self._fetcher.fetch(request)
        with handle:
            return await handle.servable.infer(request)
