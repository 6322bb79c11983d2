"""One runner to a state folder; the kernel frees the hold of the dead."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import JobFailed
from penstock.jobs.batch.durable import make_folder, unwritable
from penstock.repository.remote.file_lock import try_lock

_FILE = "lock"
_LOOK_EVERY_S = 0.1


class Holder(msgspec.Struct, frozen=True):
    """Who runs a job.

    Attributes:
        host: the machine's name.
        pid: the runner's process.
        since: when it began, as ISO 8601 in UTC.
    """

    host: str
    pid: int
    since: str


@contextmanager
def hold(state: Path, *, patience_s: float = 10.0, clock: Clock | None = None) -> Iterator[int]:
    """Be the only runner of the job with this state folder.

    Args:
        state: a folder of this machine's disk, or of one that passes file locks on; it is made.
        patience_s: how long the worker processes of a runner that died may take to notice.
        clock: whose time the hold tells; None: the machine's.

    Returns:
        The open file that holds the lock; a process that it is handed to holds it too.

    Raises:
        JobFailed: another runner has it; the message says who.
        JobOutputError: the folder cannot be written.
    """
    make_folder(state)
    path = state / _FILE
    try:
        handle = _take(path, patience_s)
    except OSError as err:
        raise unwritable(path, err) from err
    try:
        _sign(handle, clock or SystemClock())
        yield handle
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)  # whoever looks at the lock for a moment is not taken for us
        os.close(handle)


def holder_of(state: Path) -> Holder | None:
    """Who runs the job at this moment; None: nobody does, or it cannot be told."""
    path = state / _FILE
    with contextlib.suppress(OSError):
        if not path.exists():
            return None
        handle = try_lock(path)
        if handle is None:
            return _read(path)
        os.close(handle)
    return None


def _take(path: Path, patience_s: float) -> int:
    """The lock.

    Raises:
        JobFailed: another runner has it.
        OSError: the file cannot be made.
    """
    until = time.monotonic() + patience_s
    while (handle := try_lock(path)) is None:
        holder = _read(path)
        if _is_alive(holder) or time.monotonic() > until:
            told = f"{holder.host}, process {holder.pid}, since {holder.since}" if holder else "?"
            raise JobFailed(
                f"{path.parent}: this job is being run already ({told}); wait for it or end it, "
                f"or give this run another output and 'state'",
                retryable=True,
            )
        time.sleep(_LOOK_EVERY_S)
    return handle


def _sign(handle: int, clock: Clock) -> None:
    since = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(timespec="seconds")
    told = msgspec.json.encode(Holder(socket.gethostname(), os.getpid(), since))
    with contextlib.suppress(OSError):  # a full disk: the lock holds, though it cannot say whose
        os.ftruncate(handle, 0)
        os.pwrite(handle, told, 0)


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_alive(holder: Holder | None) -> bool:
    """Whether it is worth no wait: it lives, or is on a machine that cannot be asked."""
    if holder is None:
        return False
    return holder.host != socket.gethostname() or psutil.pid_exists(holder.pid)
