"""The one exception tree, with neutral codes.

::

    PenstockError
    ├── InvalidArgument        the request is wrong; sending it again will not help
    │   └── InvalidInput       one item of a batch is wrong (raised by model code)
    ├── NotFound               no such model, version or label
    ├── NotReady               it exists but does not serve yet, or no longer
    ├── Overloaded             a bounded queue is full; try again later
    ├── DeadlineExceeded       the request's time is over
    ├── Cancelled              the client went away
    ├── TooLarge               a size limit was crossed
    ├── Unsupported            a legal request for something this server does not do
    ├── FailedPrecondition     the server's mode forbids it
    ├── ModelFailed            the model's code raised or answered nonsense
    ├── LoadFailed             an artifact could not be loaded or warmed up
    ├── ConfigError            a configuration file, setting or path is wrong
    └── Internal               our own fault

No HTTP or gRPC number lives here: each dialect maps every code, and a test walks the tree.
A message says which model, which field, what was expected, what came and what to do.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class ErrorCode(enum.StrEnum):
    """What went wrong, in words every dialect can translate."""

    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    FAILED_PRECONDITION = "failed_precondition"
    MODEL_FAILED = "model_failed"
    LOAD_FAILED = "load_failed"
    CONFIG_ERROR = "config_error"
    INTERNAL = "internal"


class PenstockError(Exception):
    """Root of the tree.

    Attributes:
        message: the text a client may read; never a traceback, never a path of the server's.
        code: the neutral code, one per class.
        retryable: whether the same request may succeed later with nothing changed by the client.
        retry_after_s: seconds a client should wait before it tries again; None: no advice.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidArgument(PenstockError):
    """The request is malformed or does not fit the model's signature."""

    code = ErrorCode.INVALID_ARGUMENT


class InvalidInput(InvalidArgument):
    """One item of a batch is wrong; the others are answered.

    Model code raises it (``raise InvalidInput(index, "why")``), or puts it in the item's place
    in the list it returns. Only the request that brought the item fails.

    Attributes:
        index: position of the item in the batch the model was given, >= 0.
        reason: the text the client reads.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class NotFound(PenstockError):
    """No such model, version or label."""

    code = ErrorCode.NOT_FOUND


class NotReady(PenstockError):
    """The model or version exists but does not serve at this moment."""

    code = ErrorCode.NOT_READY
    retryable = True


class Overloaded(PenstockError):
    """A bounded queue is full; the request was refused at once and nothing was done."""

    code = ErrorCode.OVERLOADED
    retryable = True


class DeadlineExceeded(PenstockError):
    """The request's time ran out before its answer was there."""

    code = ErrorCode.DEADLINE_EXCEEDED
    retryable = True


class Cancelled(PenstockError):
    """The client took its request back."""

    code = ErrorCode.CANCELLED


class TooLarge(PenstockError):
    """A body, tensor or decompressed payload crosses its limit in bytes."""

    code = ErrorCode.TOO_LARGE


class Unsupported(PenstockError):
    """A legal request for something this server, or this model, does not do."""

    code = ErrorCode.UNSUPPORTED


class FailedPrecondition(PenstockError):
    """The server's mode forbids the operation (for example: load while watching)."""

    code = ErrorCode.FAILED_PRECONDITION


class ModelFailed(PenstockError):
    """The model's own code raised, or answered with wrong names, shapes or row counts."""

    code = ErrorCode.MODEL_FAILED


class LoadFailed(PenstockError):
    """A version could not be loaded or warmed up; that version's error only."""

    code = ErrorCode.LOAD_FAILED


class ConfigError(PenstockError):
    """A setting, a manifest or a path is wrong; the message names file and field."""

    code = ErrorCode.CONFIG_ERROR


class Internal(PenstockError):
    """Our own fault. Clients see a stable text and a request id; the log sees the cause."""

    code = ErrorCode.INTERNAL
