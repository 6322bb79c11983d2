"""WorkerProcess: one worker from its start to its end, seen from the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from penstock.core import exit_status
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.runtime.model_fault import log_fields
from penstock.runtime.process.channel import Channel, FromWorker, decode_from_worker
from penstock.runtime.process.frame import Log, ToServer
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.worker_options import WorkerOptions

_log = logging.getLogger("penstock.worker")

_MODULE = "penstock.runtime.process.worker"
_MAX_LINE = 8192
_LAST_LINES = 5
_LAST_WORDS_TIMEOUT_S = 0.5
_EXIT_GRACE_S = 0.25


class WorkerProcess:
    """A process, its channel, and its output in our log.

    Args:
        id: whose worker it is.
        options: how to start it.
        reaper: who ends it if we cannot.
        on_message: told what it says, but for log records.
        on_end: told once when it is gone, with the reason for people. Called on the loop.
        on_lost: told when its channel is gone, which may be some time before.

    Attributes:
        pid: the process; 0 before ``start``.
        last_words: the last lines it wrote to its error output.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        options: WorkerOptions,
        reaper: ReaperProcess,
        *,
        on_message: Callable[[ToServer, memoryview], None],
        on_end: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.pid = 0
        self.last_words: deque[str] = deque(maxlen=_LAST_LINES)
        self._id = id
        self._options = options
        self._reaper = reaper
        self._on_message = on_message
        self._on_end = on_end
        self._on_lost = on_lost
        self._why = ""
        self._channel: FromWorker | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def start(self) -> FromWorker:
        """Start the process. Blocks for about a millisecond: a start that is called off half-way,
        on another thread, would leave a process that nobody knows.

        Raises:
            LoadFailed: it could not be started.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as err:
            raise self._not_started(err) from err
        try:
            process = self._spawn(theirs.fileno())
        except OSError as err:
            ours.close()
            raise self._not_started(err) from err
        finally:
            theirs.close()
        self.pid = process.pid
        self._reaper.add(process.pid)
        readers = [
            self._thread(self._copy_lines, stream, level)
            for stream, level in ((process.stdout, logging.INFO), (process.stderr, logging.WARNING))
        ]
        self._thread(self._wait, process, readers)
        channel = Channel(
            ours,
            decode_from_worker,
            on_message=self._take,
            on_lost=self._lost,
            max_body_bytes=self._options.max_body_bytes,
        )
        self._channel = channel
        return channel

    def kill(self, why: str) -> None:
        """End it now, with everything it started. ``on_end`` is told ``why``."""
        self._why = self._why or why
        self._hang_up()
        if self.pid and not self._ended.is_set():
            _kill_group(self.pid)

    async def close(self, timeout_s: float, why: str) -> None:
        """Ask it to end, wait so long, then kill it. ``on_end`` is told ``why``."""
        self._why = self._why or why
        self._hang_up()
        if not self.pid:
            return
        try:
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        except TimeoutError:
            _kill_group(self.pid)
            await self._ended.wait()

    def _not_started(self, err: OSError) -> LoadFailed:
        text = f"{self._id}: its worker could not be started: {err.strerror or err}"
        return LoadFailed(text, retryable=True)

    def _spawn(self, fd: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # the interpreter is the operator's choice
            [self._options.python, "-P", "-m", _MODULE, str(fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(fd,),
            env=dict(self._options.env),
            cwd=self._options.working_dir,
            start_new_session=True,
        )

    def _thread(self, target: Callable[..., None], *args: object) -> threading.Thread:
        name = f"penstock-worker-{self.pid}"
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        return thread

    def _lost(self, why: str) -> None:
        """The channel is gone; most often the process is, too, and its exit status says more."""
        self._on_lost()
        if why:
            self.kill(why)
        else:
            self._loop.call_later(_EXIT_GRACE_S, self.kill, "it closed its channel")

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def _take(self, message: ToServer, body: memoryview) -> None:
        if isinstance(message, Log):
            logger = logging.getLogger(message.logger)
            logger.log(message.level, "%s", message.text, extra=log_fields(self._id))
        else:
            self._on_message(message, body)

    def _wait(self, process: subprocess.Popen[bytes], readers: list[threading.Thread]) -> None:
        code = process.wait()
        _kill_group(process.pid)  # what it started and left behind
        for reader in readers:
            reader.join(_LAST_WORDS_TIMEOUT_S)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        self._reaper.remove(self.pid)
        self._hang_up()
        self._ended.set()
        self._on_end(self._why or f"it {exit_status.in_words(code)}")

    def _copy_lines(self, stream: IO[bytes], level: int) -> None:
        """What it prints becomes records of our log, a line each. On a thread of its own."""
        with stream:
            while line := stream.readline(_MAX_LINE):
                text = line.decode(errors="replace").rstrip()
                if level > logging.INFO:
                    self.last_words.append(text)
                _log.log(level, "%s: %s", self._id, text, extra=log_fields(self._id))


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
