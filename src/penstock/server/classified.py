"""The classification extension, where a request asks for it."""

from __future__ import annotations

from penstock.core.ids import VersionChoice
from penstock.core.messages import InferResponse
from penstock.dialects.open_inference.classification import classify
from penstock.dialects.open_inference.reply import ReplyOptions
from penstock.server.service import ModelService


def classified(
    service: ModelService, response: InferResponse, reply: ReplyOptions
) -> InferResponse:
    """The response with outputs replaced by their best classes, as far as ``reply`` asks.

    Raises:
        InvalidArgument: an output cannot be ranked.
        NotFound: the version that answered is gone already.
    """
    if not reply.classifies:
        return response
    choice = VersionChoice(version=response.version)
    return classify(response, reply, service.model(response.model, choice).signature)
