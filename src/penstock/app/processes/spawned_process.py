"""SpawnedProcess: one serving process from its start to its end, seen from the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock.app.processes.handover import (
    Handover,
    Ping,
    Pong,
    ToProcess,
    ToSupervisor,
    Up,
    line,
)
from penstock.app.processes.pulse import MAX_UNANSWERED, Pulse
from penstock.core import exit_status
from penstock.core.error_names import named_error
from penstock.core.errors import Internal, PenstockError
from penstock.runtime.process.reaper_process import ReaperProcess

_log = logging.getLogger("penstock.supervisor")

_MODULE = "penstock.app.processes.child"
_LAST_WORDS_S = 0.5
_ASK_EVERY_S = 5.0


class SpawnedProcess:
    """A process of its own, in a session of its own.

    Args:
        handover: what it is told first.
        reaper: who ends it if we cannot.
        on_up: told of it when it has come up.

    Attributes:
        number: its place, from 1.
        id: unlike that of any other process.
        pid: the process; 0: it is not there yet.
        is_running: whether it is there.
        is_up: whether it has come up, and is there.
        has_ended_well: whether it has ended, with status 0.
        error: why it could not start, as it said itself; None: it has not said so.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        handover: Handover,
        reaper: ReaperProcess,
        on_up: Callable[[SpawnedProcess], None],
    ) -> None:
        self.number = handover.number
        self.id = handover.id
        self.pid = 0
        self.is_running = False
        self.is_up = False
        self.has_ended_well = False
        self.error: PenstockError | None = None
        self._up_at_s: float | None = None
        self._down_at_s: float | None = None
        self._is_asked_to_end = False
        self._handover = handover
        self._reaper = reaper
        self._on_up = on_up
        self._writer: asyncio.StreamWriter | None = None
        self._pulse = Pulse()

    async def run(self) -> str:
        """Start it, and wait for its end.

        Returns:
            how it ended, in words that follow its name.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await self._spawn(theirs.fileno())
        except OSError as err:
            ours.close()
            return f"could not be started: {err.strerror or err}"
        finally:
            theirs.close()
        self.pid = process.pid
        self.is_running = True
        self._reaper.add(self.pid)
        if self._is_asked_to_end:
            self.terminate()
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self.tell(self._handover)
        listening = asyncio.create_task(self._listen(reader), name=f"process {self.number}")
        watching = asyncio.create_task(self._watch(), name=f"pulse of process {self.number}")
        code = await process.wait()
        watching.cancel()
        self.kill()  # what it left behind in its group, which may hold the channel open
        await asyncio.wait({listening}, timeout=_LAST_WORDS_S)
        listening.cancel()
        self._writer.close()
        self._reaper.remove(self.pid)
        self.is_running = self.is_up = False
        self.has_ended_well = code == 0
        self._down_at_s = asyncio.get_running_loop().time()
        return (
            exit_status.in_words(code)
            if self.error is None
            else f"cannot start: {self.error.message}"
        )

    @property
    def up_s(self) -> float | None:
        """How long it has been, or was, up, in seconds; None: it never was."""
        if self._up_at_s is None:
            return None
        until_s = self._down_at_s or asyncio.get_running_loop().time()
        return until_s - self._up_at_s

    def tell(self, message: ToProcess) -> None:
        """Send it a message, which is lost where it is gone."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line(message))

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._is_asked_to_end = True
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it now, and what it started in its group."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _spawn(self, channel_fd: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *_path_flags(),
            "-m",
            _MODULE,
            str(channel_fd),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(channel_fd, self._handover.http_fd),
            start_new_session=True,
        )

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hear what it says, until it has hung up."""
        while True:
            try:
                text = await reader.readline()
                if not text:
                    return
                message: ToSupervisor = msgspec.json.decode(text, type=ToSupervisor)
            except OSError:
                return
            except ValueError as err:  # what it says next may be of use
                _log.warning("process %d said what cannot be read: %s", self.number, err)
            else:
                self._hear(message)

    def _hear(self, message: ToSupervisor) -> None:
        if isinstance(message, Pong):
            self._pulse.answered()
        elif isinstance(message, Up):
            self.is_up = True
            self._up_at_s = asyncio.get_running_loop().time()
            self._on_up(self)
        else:
            self.error = named_error(message.kind, message.message, Internal)

    async def _watch(self) -> None:
        """Kill it when it has come up, and answers no longer."""
        while True:
            await asyncio.sleep(_ASK_EVERY_S)
            if not self.is_up:
                continue
            if not self._pulse.ask():
                _log.error(
                    "serving process %d (pid %d) has not answered for %.0f s: killed",
                    self.number,
                    self.pid,
                    MAX_UNANSWERED * _ASK_EVERY_S,
                )
                self.kill()
                return
            self.tell(Ping())


def _path_flags() -> list[str]:
    """What makes ``-m`` look for modules where this process does."""
    is_here = Path(sys.path[0] or ".").absolute() == Path.cwd()
    return [] if is_here else ["-P"]
