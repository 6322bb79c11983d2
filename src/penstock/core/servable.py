"""Servable: the object that answers. It knows nothing of its own lifecycle."""

from __future__ import annotations

from typing import Protocol

from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature


class Servable(Protocol):
    """A loaded, warmed-up version of a model."""

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives."""
        ...

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request.

        Law: exactly one outcome, by the request's deadline, which no other request can change.

        Raises:
            InvalidArgument: the tensors do not fit the signature, or an item is wrong.
            Overloaded: the queue is full.
            DeadlineExceeded: the time ran out.
            NotReady: it was unloaded before it had the answer, as the server ends.
            ModelFailed: the model's code raised or answered nonsense.

        Concurrency: any number of calls at once, from the event loop's thread.
        """
        ...


class InferenceClient(Protocol):
    """How a servable calls other models: through the same front door as anybody.

    Implemented by the router, handed to pipelines and Python models.
    """

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request by the model it names; raises what ``Servable.infer`` raises,
        and NotFound or NotReady where the model cannot be reached.
        """
        ...
