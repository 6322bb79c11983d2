"""Outcomes: many requests made one batch, and what its execution means for each of them.

What breaks here breaks these requests alone: it comes back as a ModelFailed, never as a raise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from penstock.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelCrashed,
    ModelFailed,
    NotReady,
    PenstockError,
)
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work
from penstock.scheduler.batch import Member, Tensors, merge, split
from penstock.scheduler.padding import Padding
from penstock.scheduler.request_queue import Waiting

_log: Final = logging.getLogger("penstock.scheduler")

Outcomes: TypeAlias = "list[Tensors | InvalidInput] | PenstockError"


def merge_batch(batch: Sequence[Waiting], padding: Padding | None) -> Work | Execution:
    """Lay the requests of a batch one below the other; where that fails, see ``not_run``.

    Args:
        batch: requests that may merge, at least one.
        padding: the model's; None: nothing is padded.
    """
    try:
        return Work(
            merge([w.request.inputs for w in batch], padding),
            batch[0].request.parameters,
            max(w.deadline_ns for w in batch),
        )
    except Exception as err:  # noqa: BLE001  # no memory for it, for one
        return not_run("its inputs could not be laid together", err)


def not_run(why: str, error: Exception) -> Execution:
    """What stands for the execution of a batch that never ran: its times are 0."""
    return Execution(broken(why, error), 0, 0)


def read_outcomes(
    batch: Sequence[Waiting],
    result: ExecuteResult | PenstockError,
    signature: ModelSignature,
    padding: Padding | None,
) -> Outcomes:
    """What an execution gave each request of its batch; an error where it gave all the same."""
    if isinstance(result, PenstockError):
        return result
    try:
        if not result.outputs and result.invalid and len(batch) > 1:
            return next(iter(result.invalid.values()))  # nothing was computed: ask one by one
        members = [Member(w.rows, w.length, w.first_row) for w in batch]
        return split(result, members, signature, padding)
    except PenstockError as err:
        return err
    except Exception as err:  # noqa: BLE001  # a runtime's answer may be anything
        return broken("its answer could not be read", err)


def to_retry(batch: Sequence[Waiting], error: PenstockError, *, idempotent: bool) -> list[Waiting]:
    """The requests of a failed batch to run again, each alone, so that one does not fail the rest.

    Where the worker died nobody knows how far it got: they run again only where that does no
    harm, and once; what it had not begun has not been tried.

    Args:
        batch: what ran.
        error: what all of it got.
        idempotent: whether the model may compute a request twice.
    """
    if not isinstance(error, ModelCrashed):
        return list(batch) if len(batch) > 1 else []
    again = [
        waiting
        for waiting in batch
        if not waiting.outcome.done()
        and (not error.has_begun or (idempotent and not waiting.is_retried))
    ]
    for waiting in again:
        waiting.is_retried |= error.has_begun
    return again


def give(batch: Sequence[Waiting], outcomes: Outcomes, execution: Execution) -> None:
    """Give each request its outcome, unless it has one already."""
    for index, waiting in enumerate(batch):
        timeline = waiting.request.timeline
        timeline.executing_ns = execution.started_ns
        timeline.executed_ns = execution.ended_ns
        if waiting.outcome.done():
            continue
        outcome = outcomes if isinstance(outcomes, PenstockError) else outcomes[index]
        if isinstance(outcome, PenstockError):
            waiting.outcome.set_exception(outcome)
        else:
            waiting.outcome.set_result(outcome)


def still_wanted(batch: Iterable[Waiting], now_ns: int, model: str) -> list[Waiting]:
    """The requests that have no outcome yet; those whose time is over have it now."""
    wanted = []
    for waiting in batch:
        if waiting.outcome.done():
            continue
        if now_ns >= waiting.deadline_ns:
            waiting.outcome.set_exception(too_late(model))
        else:
            wanted.append(waiting)
    return wanted


def give_up(requests: Iterable[Waiting], servable_id: ServableId) -> None:
    """Give each request that has no outcome yet the one of a server that ends."""
    for waiting in requests:
        if not waiting.outcome.done():
            waiting.outcome.set_exception(
                NotReady(f"{servable_id} gave no answer: the server is shutting down")
            )


def copy_of(fault: NotReady) -> NotReady:
    """One for each request: a raised error holds on to what it passed through."""
    return NotReady(fault.message, retry_after_s=fault.retry_after_s)


def too_late(model: str) -> DeadlineExceeded:
    """The error of a request whose time is over."""
    return DeadlineExceeded(
        f"model '{model}' did not answer within the request's time; give it more "
        "with the 'timeout' parameter, or send less at once"
    )


def broken(what: str, error: Exception) -> ModelFailed:
    """The error of requests around which something broke that never should; it is logged."""
    _log.error("%s", what, exc_info=error)
    return ModelFailed(f"{what} ({type(error).__name__}); the server's log has more")
