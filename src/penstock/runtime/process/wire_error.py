"""Errors of the one tree as values of a frame, and back. Inverse but for causes and tracebacks."""

from __future__ import annotations

from penstock.core.error_names import error_class
from penstock.core.errors import (
    InvalidInput,
    JobFailed,
    LoadFailed,
    ModelFailed,
    PenstockError,
)
from penstock.runtime.process.frame import WireError


def error_out(error: PenstockError) -> WireError:
    """An error as a value."""
    return WireError(
        type(error).__name__,
        error.message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        is_reported=isinstance(error, ModelFailed) and error.is_reported,
        index=error.index if isinstance(error, InvalidInput) else 0,
        place=error.place if isinstance(error, ModelFailed) else "",
    )


def error_in(wire: WireError) -> PenstockError:
    """The error again; one of a kind that is not known here is a ModelFailed."""
    kind = error_class(wire.kind) or ModelFailed
    if kind is InvalidInput:
        return InvalidInput(wire.index, wire.message)
    if kind is LoadFailed:
        return LoadFailed(wire.message, retryable=wire.retryable)
    if issubclass(kind, JobFailed):
        return kind(wire.message, retry_after_s=wire.retry_after_s, retryable=wire.retryable)
    if issubclass(kind, ModelFailed):
        failed = kind(wire.message, retry_after_s=wire.retry_after_s, is_reported=wire.is_reported)
        failed.place = wire.place
        return failed
    return kind(wire.message, retry_after_s=wire.retry_after_s)
