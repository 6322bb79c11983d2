"""Router: which version answers a request."""

from __future__ import annotations

from typing import Protocol

from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.lifecycle.handle import ServableHandle


class Lender(Protocol):
    """Who lends handles; the Manager."""

    def handle(self, name: str, choice: VersionChoice) -> ServableHandle:
        """Lend the version asked for."""
        ...


class Router:
    """Sends a request to the version it asks for. A ``core.InferenceClient``.

    A number wins; a label is looked up; neither means the newest version that is ready.
    """

    def __init__(self, lender: Lender) -> None:
        self._lend = lender.handle

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request, holding its version for as long as that takes.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it exists but does not serve.
            PenstockError: whatever the servable answers.
        """
        with self._lend(request.model, request.choice) as handle:
            return await handle.servable.infer(request)
