"""Views: what the server tells of itself and its models, as plain values for both doors."""

from __future__ import annotations

from typing import Any

from penstock.core.ids import LATEST, VersionChoice
from penstock.dialects.open_inference import metadata
from penstock.dialects.open_inference.model_config import model_config
from penstock.dialects.open_inference.repository import index_entries
from penstock.dialects.open_inference.statistics import model_statistics
from penstock.server.service import ModelService


class Views:
    """The Open Inference Protocol's answers that are not inference; REST and gRPC write them out.

    Each raises NotFound or NotReady where the model or version it is asked about cannot be
    reached.

    Args:
        service: what is served.
        server_name: the name in the server metadata.
        version: the server's version.
    """

    def __init__(self, service: ModelService, server_name: str, version: str) -> None:
        self._service = service
        self._server_name = server_name
        self.version = version

    def server(self) -> dict[str, Any]:
        """Server metadata."""
        return metadata.server_metadata(self.version, self._server_name)

    def models(self) -> dict[str, Any]:
        """The names of the models that are ready."""
        return metadata.models_body({info.id.name for info in self._service.ready_models()})

    def model(self, name: str, choice: VersionChoice) -> dict[str, Any]:
        """Model metadata; all ready versions are listed, or just the one asked for."""
        info = self._service.model(name, choice)
        ready = self._service.manager.ready_versions(name)
        versions = ready if choice == LATEST else [info.id.version]
        return metadata.model_metadata(name, versions, info.runtime, info.signature)

    def config(self, name: str, choice: VersionChoice) -> dict[str, Any]:
        """Model configuration."""
        info = self._service.model(name, choice)
        return model_config(name, info.runtime, info.signature, info.manifest, info.max_batch_size)

    async def statistics(self, name: str = "", choice: VersionChoice = LATEST) -> dict[str, Any]:
        """Statistics of one version, of one model's versions, or of everything."""
        return model_statistics(await self._service.all_statistics(name, choice))

    def index(self, *, ready_only: bool) -> list[dict[str, str]]:
        """The repository's index."""
        statuses, names = self._service.index()
        return index_entries(statuses, names, ready_only)
