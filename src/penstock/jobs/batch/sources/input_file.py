"""InputFile: a file as it was when it was looked at; and why one cannot be read."""

from __future__ import annotations

import errno
from typing import NamedTuple

from penstock.core.errors import JobInputError
from penstock.repository.remote.remote_fault import status_of

_GONE = (404, 410)
_REFUSED = (401, 403)
_MAY_PASS = (408, 425, 429)
_FOR_GOOD = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)


class InputFile(NamedTuple):
    """A file, and what tells it from another one under its name.

    Attributes:
        source: its path or URL, as splits and errors name it.
        size_bytes: as it is stored.
        fingerprint: its size and its time, or a store's tag of its content.
    """

    source: str
    size_bytes: int
    fingerprint: str


def why_unreadable(source: str, err: Exception) -> JobInputError:
    """One line on why a file or a store cannot be read.

    What a store's client says is not repeated: it may hold a signed address.

    Args:
        source: which, as it may be shown.
        err: what the system or a store's client raised.
    """
    status = status_of(err)
    if isinstance(err, PermissionError) or status in _REFUSED:
        told = f" ({status})" if status else ""
        hint = "check its rights, and the credentials that the job runs with"
        return JobInputError(f"{source}: permission denied{told}: {hint}")
    if "Credential" in type(err).__name__:
        return JobInputError(f"{source}: the store's client finds no credentials")
    if isinstance(err, FileNotFoundError) or status in _GONE:
        return JobInputError(f"{source}: is not there: it was removed, or the path is wrong")
    if isinstance(err, OSError) and err.errno is not None and err.strerror:
        is_for_good = err.errno in _FOR_GOOD
        text = f"{source}: cannot be read: {err.strerror}"
        return JobInputError(text, retryable=not is_for_good)
    may_pass = status is None or status >= 500 or status in _MAY_PASS
    told = f"status {status}" if status else type(err).__name__
    return JobInputError(f"{source}: the store gives no answer: {told}", retryable=may_pass)
