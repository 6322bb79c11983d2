"""A model's call of another: its deadline, and what its errors mean to the caller's clients."""

from __future__ import annotations

from penstock.core.deadline import Deadline
from penstock.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ModelFailed,
    NotReady,
    Overloaded,
    PenstockError,
)
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient
from penstock.runtime.caller import Caller

_PASSING = (NotReady, Overloaded, DeadlineExceeded)


async def call_model(
    client: InferenceClient, request: InferRequest, caller: Caller | None
) -> InferResponse:
    """Ask another model.

    Law: a call made for a batch ends by the latest deadline of the batch's requests; its error
    means to their clients what it means to them: that another model is missing, or was asked
    wrongly, is the calling model's failure, that it is busy or late stays so.

    Args:
        client: the front door.
        request: for the other model.
        caller: who asks; None: nobody's request (a warm-up), errors come as they are.
    """
    if caller is not None and caller.deadline_ns is not None:
        request.deadline = Deadline(caller.deadline_ns)
    try:
        return await client.infer(request)
    except InvalidArgument as err:
        raise _refused(request.model, err) from err
    except PenstockError as err:
        if caller is None:
            raise
        raise _as_seen_by(caller, request.model, err) from err


def _as_seen_by(caller: Caller, model: str, error: PenstockError) -> PenstockError:
    """What an error of one model's is to the clients of another that called it."""
    if isinstance(error, ModelFailed):
        return error
    for kind in _PASSING:
        if isinstance(error, kind):
            text = f"{caller.id}: its call to model '{model}': {error.message}"
            return kind(text, retry_after_s=error.retry_after_s)
    return _refused(model, error)


def _refused(model: str, error: PenstockError) -> ModelFailed:
    return ModelFailed(f"its call to model '{model}' was refused: {error.message}")
