"""The numbers of the other serving processes, asked for over Unix sockets when somebody wants them.

Nothing is written or counted for it before: a process that is asked tells what it has then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from penstock.server.service import ModelService
from penstock.server.share import SOCKETS, socket_path
from penstock.telemetry.families import Family
from penstock.telemetry.stats import EdgeStats, ModelStatsSnapshot

_log = logging.getLogger("penstock.siblings")

T = TypeVar("T")

_TIMEOUT_S = 0.5
_KEPT_S = 60.0
"""Longer than the supervisor waits for a process that hangs."""


class Question(msgspec.Struct, frozen=True):
    """What one process asks another.

    Attributes:
        what: its metrics, or the statistics of models.
        name: of a model; "": of all.
        version: of the model; None: all of them.
    """

    what: Literal["metrics", "statistics"]
    name: str = ""
    version: int | None = None


class SiblingDoor:
    """Tells the other processes what they ask. One question and one answer a connection.

    Args:
        path: the socket; what is there from an earlier process is replaced.
        service: whose statistics are told.
        metrics: gives the page of this process.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, path: Path, service: ModelService, metrics: Callable[[], list[Family]]
    ) -> None:
        self._path = path
        self._service = service
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                question = msgspec.json.decode(await reader.readline(), type=Question)
                writer.write(self._answer(question))
                await writer.drain()
        except (OSError, TimeoutError, msgspec.MsgspecError) as err:
            _log.debug("a question of another process was lost: %s", err)
        finally:
            writer.close()

    def _answer(self, question: Question) -> bytes:
        if question.what == "metrics":
            return msgspec.msgpack.encode(self._metrics())
        return msgspec.msgpack.encode(self._service.counted(question.name, question.version))


class SiblingProcesses:
    """Asks the other processes; see ``Siblings``.

    Args:
        folder: where their sockets are.
        number: of this process.
        edge: where those are counted that did not answer.
        timeout_s: how long all of them together may take, in seconds.
    """

    def __init__(
        self, folder: Path, number: int, edge: EdgeStats, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._folder = folder
        self._own = socket_path(folder, number)
        self._edge = edge
        self._timeout_s = timeout_s
        self._last: dict[Path, tuple[float, list[Family]]] = {}

    async def metrics(self) -> list[list[Family]]:
        """See ``Siblings.metrics``. One that is silent stands with what it told last, for a while:
        a sum that drops looks like a restart.
        """
        now_s = asyncio.get_running_loop().time()
        answers = await self._ask(Question("metrics"), list[Family])
        told = {path: (now_s, page) for path, page in answers.items() if page is not None}
        kept = {
            path: self._last[path]
            for path in answers.keys() - told.keys() & self._last.keys()
            if now_s - self._last[path][0] <= _KEPT_S
        }
        self._last = told | kept
        return [page for _, page in self._last.values()]

    async def statistics(self, name: str, version: int | None) -> list[ModelStatsSnapshot]:
        """See ``Siblings.statistics``."""
        asked = Question("statistics", name, version)
        answers = await self._ask(asked, list[ModelStatsSnapshot])
        return [snapshot for answer in answers.values() for snapshot in answer or ()]

    async def _ask(self, question: Question, kind: type[T]) -> dict[Path, T | None]:
        """What each of them answers, by its socket; None: nothing."""
        others = [path for path in sorted(self._folder.glob(SOCKETS)) if path != self._own]
        asking = (self._ask_one(path, question, kind) for path in others)
        answers = await asyncio.gather(*asking)
        self._edge.silent_processes += answers.count(None)
        return dict(zip(others, answers, strict=True))

    async def _ask_one(self, path: Path, question: Question, kind: type[T]) -> T | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(path)
                with contextlib.closing(writer):
                    writer.write(msgspec.json.encode(question) + b"\n")
                    return msgspec.msgpack.decode(await reader.read(), type=kind)
        except (OSError, TimeoutError, msgspec.MsgspecError) as err:
            _log.warning("%s did not answer: %s", path.stem, err or "too late")
            return None
