"""JobProcess: one job's process from its start to its end, seen from the server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec

from penstock.app.jobs.served.job_messages import CANCEL, Outcome, Told
from penstock.core import exit_status

_MODULE = "penstock.app.jobs.served.child"
_KILL_AFTER_S = 30.0
"""How long a job that is cancelled may take for its last batch."""


class JobProcess:
    """A process of its own.

    Args:
        told: the job.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._process: asyncio.subprocess.Process | None = None
        self._is_cancelled = False
        self._killer: asyncio.TimerHandle | None = None

    async def run(self) -> Outcome | str:
        """Start it, and wait for its end.

        Returns:
            what it said; or how it died, in words that follow "its process".
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *_path_flags(),
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as err:
            return f"could not be started: {err.strerror or err}"
        self._process = process
        try:
            self._tell(msgspec.json.encode(self._told) + b"\n")
            if self._is_cancelled:
                self.cancel()
            assert process.stdout is not None  # noqa: S101  # for the type checker
            said = await process.stdout.read()
            code = await process.wait()
        finally:
            self.kill()
        try:
            return msgspec.json.decode(said, type=Outcome)
        except msgspec.MsgspecError:
            return exit_status.in_words(code)

    def cancel(self) -> None:
        """Have it end with its batch; where a batch takes too long, at once. Once is enough."""
        self._is_cancelled = True
        if self._killer is None and self._process is not None:
            self._tell(CANCEL)
            loop = asyncio.get_running_loop()
            self._killer = loop.call_later(_KILL_AFTER_S, self.kill)

    def kill(self) -> None:
        """End it now."""
        if self._killer is not None:
            self._killer.cancel()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _tell(self, data: bytes) -> None:
        """Send; one that is dead is found out elsewhere."""
        assert self._process is not None  # noqa: S101  # for the type checker
        assert self._process.stdin is not None  # noqa: S101  # for the type checker
        if not self._process.stdin.is_closing():
            self._process.stdin.write(data)


def _path_flags() -> list[str]:
    """What makes ``-m`` look for modules where this process does."""
    is_here = Path(sys.path[0] or ".").absolute() == Path.cwd()
    return [] if is_here else ["-P"]
