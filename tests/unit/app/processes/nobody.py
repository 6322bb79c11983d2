"""A front door without a house."""

from penstock.core.errors import NotFound
from penstock.core.messages import InferRequest, InferResponse


class Nobody:
    """An ``InferenceClient`` that knows no model."""

    async def infer(self, request: InferRequest) -> InferResponse:
        raise NotFound(f"there is no model '{request.model}'")
