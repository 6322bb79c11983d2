"""ServedModels: the model that a client names, as a job finds it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.app.jobs.find_model import find_model
from penstock.app.settings import Settings
from penstock.core.clock import Clock
from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import ConfigError, NotReady
from penstock.core.ids import LATEST, VersionChoice
from penstock.jobs.model_ref import ModelRef
from penstock.repository.root import is_remote
from penstock.server.service import ModelService


class ServedModels:
    """What the server serves, and where its files are.

    Args:
        service: the server.
        paths: what it serves.
        settings: how packages and downloads are taken in.
        clock: the time.
    """

    def __init__(
        self, service: ModelService, paths: Sequence[str], settings: Settings, clock: Clock
    ) -> None:
        self._service = service
        self._paths = [path if is_remote(path) else str(Path(path).absolute()) for path in paths]
        self._settings = settings
        self._clock = clock

    async def pin(self, name: str, version: str) -> dict[str, Any]:
        """The model as the field ``model`` of a job, pinned to the version that answers now.

        Args:
            name: the model's.
            version: a number, a label, or "": whichever answers who asks for none.

        Raises:
            NotFound, NotReady: it does not serve.
            InvalidArgument: the version is none.
        """
        choice = VersionChoice.parse(version) if version else LATEST
        await self._service.warm(name, choice)
        number = self._service.model(name, choice).id.version
        path = await on_daemon_thread(lambda: self._path(name, number), "penstock-find-model")
        return {"path": path, "name": name, "version": number}

    def _path(self, name: str, version: int) -> str:
        """Which of the server's paths has it. Blocks."""
        if len(self._paths) == 1:
            return self._paths[0]
        for path in self._paths:
            try:
                ref = ModelRef(path=path, name=name, version=version)
                find_model(ref, self._settings, self._clock)
            except ConfigError:
                continue
            return path
        raise NotReady(f"model '{name}' serves, but its files are no longer there")
