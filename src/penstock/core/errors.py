"""The one exception tree, with neutral codes.

::

    PenstockError
    ├── InvalidArgument        the request is wrong; sending it again will not help
    │   └── InvalidInput       one item of a batch is wrong (raised by model code)
    ├── NotFound               no such model, version or label
    ├── NotReady               it exists but does not serve yet, or no longer
    │   └── StoreError         a key-value store is down, slow, full or broken
    ├── Overloaded             a bounded queue is full; try again later
    ├── DeadlineExceeded       the request's time is over
    ├── Cancelled              the client went away
    ├── TooLarge               a size limit was crossed
    ├── Unsupported            a legal request for something this server does not do
    ├── UnsupportedEncoding    the body is packed in a way this server cannot unpack
    ├── FailedPrecondition     the server's mode forbids it
    ├── ModelFailed            the model's code raised or answered nonsense
    │   ├── MalformedAnswer    its answer does not fit its signature
    │   └── ModelCrashed       the process that computed it died
    ├── LoadFailed             an artifact could not be loaded or warmed up
    ├── ConfigError            a configuration file, setting or path is wrong
    ├── JobFailed              a batch job stands still; what it did is kept
    │   ├── JobInputError      something it reads cannot be read
    │   └── JobOutputError     something it writes cannot be written
    ├── StreamError            a message broker is down, or refuses
    └── Internal               our own fault

No HTTP or gRPC number lives here: each dialect maps every code, and a test walks the tree.
A message says which model, which field, what was expected, what came and what to do.
"""

from __future__ import annotations

import enum
import operator
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
    UNSUPPORTED_ENCODING = "unsupported_encoding"
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
    retryable: bool = False

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

    Raises:
        TypeError: ``index`` is no whole number.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        try:
            self.index = operator.index(index)
        except TypeError:
            raise TypeError(
                f"InvalidInput: expected the item's position in the batch, got {index!r}"
            ) from None
        self.reason = reason


class NotFound(PenstockError):
    """No such model, version or label."""

    code = ErrorCode.NOT_FOUND


class NotReady(PenstockError):
    """The model or version exists but does not serve at this moment."""

    code = ErrorCode.NOT_READY
    retryable = True


class StoreFault(enum.StrEnum):
    """Why a key-value store did not do what it was asked; a label of the metrics."""

    UNAVAILABLE = "unavailable"  # nobody answers there
    TIMEOUT = "timeout"  # no answer in time
    BUSY = "busy"  # too much waits for it already
    LOCKED = "locked"  # another process holds the file
    FULL = "full"  # no room is left
    GARBAGE = "garbage"  # an answer that makes no sense, or a corrupt file
    REFUSED = "refused"  # it answers, and says no
    SKIPPED = "skipped"  # not asked: the circuit breaker is open
    CLOSED = "closed"  # closed by us


class StoreError(NotReady):
    """A key-value store is down, slow, full or broken. No prediction fails of it.

    Attributes:
        fault: what is wrong with it, for metrics and logs.
    """

    def __init__(
        self,
        message: str,
        *,
        fault: StoreFault = StoreFault.UNAVAILABLE,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.fault = fault


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


class UnsupportedEncoding(PenstockError):
    """The body is packed in a way that this server cannot unpack; the text says which it can."""

    code = ErrorCode.UNSUPPORTED_ENCODING


class FailedPrecondition(PenstockError):
    """The server's mode forbids the operation (for example: load while watching)."""

    code = ErrorCode.FAILED_PRECONDITION


class ModelFailed(PenstockError):
    """The model's own code raised, or answered with wrong names, shapes or row counts.

    Attributes:
        is_reported: whether the text names the model and the log has it already, so that
            another model which called this one does not report it again.
        place: the file and line of the model's code that raised, for those who run it and for no
            client; "": it is not known.
    """

    code = ErrorCode.MODEL_FAILED

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, is_reported: bool = False
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.is_reported = is_reported
        self.place = ""


class MalformedAnswer(ModelFailed):
    """The model answered, but with wrong names, datatypes, shapes or row counts."""


class ModelCrashed(ModelFailed):
    """The worker process that computed the batch died; nobody knows how far it got.

    Attributes:
        has_begun: whether it may have computed any of it; where not, to run it again does no harm.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        is_reported: bool = False,
        has_begun: bool = True,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, is_reported=is_reported)
        self.has_begun = has_begun


class LoadFailed(PenstockError):
    """A version could not be loaded or warmed up; that version's error only.

    Attributes:
        retryable: whether the next attempt may fare better with nothing changed; see
            ``may_pass``.
        culprit: what a model's own code raised, whose traceback belongs in the log; None: our
            text says all.
    """

    code = ErrorCode.LOAD_FAILED

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        retryable: bool = False,
        culprit: BaseException | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retryable = retryable
        self.culprit = culprit


class ConfigError(PenstockError):
    """A setting, a manifest or a path is wrong; the message names file and field."""

    code = ErrorCode.CONFIG_ERROR


class JobFailed(PenstockError):
    """A batch job could not be brought to its end. What is done stays done; it can be resumed.

    Attributes:
        retryable: whether another try may fare better with nothing changed.
    """

    code = ErrorCode.FAILED_PRECONDITION

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retryable = retryable


class JobInputError(JobFailed):
    """What a job reads cannot be read, or is not what it was; the message names file and place."""


class JobOutputError(JobFailed):
    """What a job writes cannot be written; nothing of the part is visible."""


class StreamError(PenstockError):
    """A message broker is away, slow, or refuses.

    Attributes:
        retryable: whether it may pass; not where it refuses who or what we are.
    """

    code = ErrorCode.NOT_READY

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, retryable: bool = True
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retryable = retryable


class Internal(PenstockError):
    """Our own fault. Clients see a stable text and a request id; the log sees the cause."""

    code = ErrorCode.INTERNAL


_LASTING = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


def may_pass(error: BaseException) -> bool:
    """Whether what failed so may succeed later with nothing changed.

    True for what depends on the moment: memory, time, the network, a busy disk. A file that is
    not there, or may not be read, stays so, and so does a bug.
    """
    if isinstance(error, PenstockError):
        return error.retryable
    return isinstance(error, OSError | MemoryError) and not isinstance(error, _LASTING)
