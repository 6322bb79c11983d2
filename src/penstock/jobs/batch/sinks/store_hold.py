"""StoreHold: one runner to a folder of an object store, from whichever machine.

The hold is an object with a number, ``_hold/7``, that the store creates only where there is none.
To show that it lives, the holder creates the next number and removes its last one; whoever takes a
dead holder's place creates that same next number. So the store decides between the two, and the
one who comes too late knows. No clocks are compared: a holder is dead when whoever waits has seen
no new number for ``expiry_s``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from penstock.core.errors import Cancelled, JobFailed, JobOutputError
from penstock.jobs.batch.durable import unwritable, write_whole
from penstock.repository.remote.remote_fault import status_of

_log: Final = logging.getLogger("penstock.jobs")

T = TypeVar("T")

FOLDER = "_hold"
"""The folder below the output where the hold is."""

_OWNER = "owner"
_THERE_ALREADY = 412
_CLOSE_S = 5.0


class HoldTimes(NamedTuple):
    """When a hold is renewed, and when it is lost.

    Attributes:
        beat_s: how often the holder renews it.
        give_up_s: the holder stops when it could not for so long; what it has under way then has
            until ``expiry_s`` to come to its end.
        expiry_s: how long another one sees no new number before it takes the hold over.
    """

    beat_s: float = 10.0
    give_up_s: float = 40.0
    expiry_s: float = 60.0


TIMES = HoldTimes()


def owner_of(state: Path) -> str:
    """What a state folder is called in the outputs that its runner holds; drawn once.

    Raises:
        JobOutputError: it cannot be read or written.
    """
    path = state / _OWNER
    try:
        if not path.exists():
            write_whole(path, secrets.token_hex(16).encode())
        return path.read_text()
    except OSError as err:
        raise unwritable(path, err) from err


class Ask(Protocol):
    """Does something with a store, as often as it takes."""

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Do it.

        Args:
            name: what below the folder it is about, for messages.
            work: what to do.

        Raises:
            JobOutputError: it does not work.
        """
        ...


class _Held(msgspec.Struct, frozen=True):
    """What the object says.

    Attributes:
        owner: the state folder of the runner, see ``StoreHold``.
        host: the runner's machine.
        pid: its process.
        since: when it began, as ISO 8601 in UTC.
    """

    owner: str
    host: str
    pid: int
    since: str


class _Top(NamedTuple):
    """The hold as it stands: its number, and whose it is; None: that cannot be read."""

    number: int
    held: _Held | None


class StoreHold:
    """A hold that is kept alive by a thread of its own until it is closed.

    Law: of all runners at most one can renew its hold, and each other one knows when it next tries,
    where the store lists what it was given and honours conditions on creation.

    Args:
        url: the folder, for messages.
        place: what ``files`` calls it.
        files: the store's fsspec file system.
        ask: has things done there.
        owner: names the runner's state folder. A runner is alone with that, so that it takes over
            from its dead predecessor at once.
    """

    def __init__(self, url: str, place: str, files: Any, ask: Ask, owner: str) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self._url = url
        self._folder = f"{place}/{FOLDER}"
        self._files = files
        self._ask = ask
        self._me = _Held(owner, socket.gethostname(), os.getpid(), since)
        self._number = 0
        self._is_lost = False
        self._renewed_s = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="penstock-job-hold", daemon=True)

    def take(self, stop: threading.Event) -> bool:
        """Hold the folder; waits for as long as a dead holder may still be alive.

        Args:
            stop: ends the waiting.

        Returns:
            whether it is held; not in a store that knows no conditions.

        Raises:
            Cancelled: it was stopped while it waited.
            JobFailed: another runner has it; the message says who.
            JobOutputError: the store does not answer, or refuses.
        """
        before = self._wait(stop)
        started_s = time.monotonic()
        try:
            is_mine = self._succeed(before)
        except JobOutputError as err:
            if isinstance(err.__cause__, OSError) and err.__cause__.errno == errno.ENOSYS:
                return False
            raise
        if not is_mine:
            raise self._taken(self._top())
        self._renewed_s = started_s
        self._thread.start()
        return True

    def check(self) -> None:
        """See that it is still held.

        Raises:
            JobFailed: it is not, or that cannot be known any more.
        """
        if self._is_lost:
            raise JobFailed(
                f"{self._url}: another runner has taken this output over, for it saw no sign of "
                "this one; what is done is kept: see that one machine alone runs the job"
            )
        silent_s = time.monotonic() - self._renewed_s
        if silent_s > TIMES.give_up_s:
            raise JobFailed(
                f"{self._url}: the hold of this output could not be renewed for {silent_s:.0f} s, "
                "and another runner may take it over; what is done is kept: see to the store and "
                "the network, and run the job again",
                retryable=True,
            )

    def close(self) -> None:
        """Give it back; where the store does not answer, it expires. Never raises."""
        self._closed.set()
        self._thread.join(_CLOSE_S)
        if not (self._is_lost or self._thread.is_alive()):
            with contextlib.suppress(JobOutputError):
                self._remove(self._number)

    def _keep(self) -> None:
        while not self._closed.wait(TIMES.beat_s):
            started_s = time.monotonic()
            with contextlib.suppress(JobOutputError):  # again at the next beat, until it is late
                if not self._succeed(self._number):
                    self._is_lost = True
                    return
                self._renewed_s = started_s

    def _wait(self, stop: threading.Event) -> int:
        """Wait for the end of another one's hold; the number of the dead one's, 0: there is none.

        Raises:
            Cancelled: it was stopped.
            JobFailed: the other one lives.
        """
        top, since_s = self._top(), time.monotonic()
        if top is not None and not self._is_mine(top.held):
            _log.warning(
                "%s: held by another runner (%s); waiting for up to %g s to see whether it lives",
                *(self._url, _told(top), TIMES.expiry_s),
            )
        while top is not None and not self._is_mine(top.held):
            if time.monotonic() - since_s > TIMES.expiry_s:
                return top.number
            if stop.wait(TIMES.beat_s / 4):
                raise Cancelled("the job was stopped while it waited for another runner's hold")
            now = self._top()
            if now is not None and now != top:
                raise self._taken(now)
            top = now
        return 0 if top is None else top.number

    def _succeed(self, before: int) -> bool:
        """Take the place of a number, 0: of none; tells whether it came off, and leaves nothing
        where it did not.

        Raises:
            JobOutputError: nobody knows; to do it again is safe.
        """
        number = before + 1
        if not self._create(number):
            return False
        numbers = self._numbers()
        if max(numbers, default=0) > number or (before and before not in numbers):
            self._remove(number)
            return False
        self._number = number
        for old in numbers:
            if old < number:
                self._remove(old)
        return True

    def _create(self, number: int) -> bool:
        def create() -> bool:
            try:
                self._files.pipe_file(
                    self._path(number), msgspec.json.encode(self._me), mode="create"
                )
            except OSError as err:
                cause = err.__cause__
                if isinstance(err, FileExistsError) or (
                    cause and status_of(cause) == _THERE_ALREADY
                ):
                    return False
                raise
            return True

        # One that is there may be ours: of an attempt whose answer was lost.
        return self._ask(FOLDER, create) or self._is_mine(self._read(number))

    def _numbers(self) -> list[int]:
        def listed() -> list[int]:
            self._files.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                paths = self._files.ls(self._folder, False)
                names = [str(path).rpartition("/")[2] for path in paths]
                return [int(name) for name in names if name.isdigit()]
            return []

        return self._ask(FOLDER, listed)

    def _top(self) -> _Top | None:
        numbers = self._numbers()
        return _Top(max(numbers), self._read(max(numbers))) if numbers else None

    def _read(self, number: int) -> _Held | None:
        def read() -> _Held | None:
            with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
                return msgspec.json.decode(self._files.cat_file(self._path(number)), type=_Held)
            return None

        return self._ask(FOLDER, read)

    def _remove(self, number: int) -> None:
        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(number))

        self._ask(FOLDER, remove)

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number}"

    def _is_mine(self, held: _Held | None) -> bool:
        return held is not None and held.owner == self._me.owner

    def _taken(self, top: _Top | None) -> JobFailed:
        return JobFailed(
            f"{self._url}: a job is being run already into this output ({_told(top)}); wait for it "
            "or end it, or give this run another output and 'state'",
            retryable=True,
        )


def _told(top: _Top | None) -> str:
    """Whose hold it is, for messages."""
    held = top.held if top else None
    return f"{held.host}, process {held.pid}, since {held.since}" if held else "?"
