"""RegisteredModel: a version of a model in an MLflow registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.remote.bounded_call import within
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import PIECE_BYTES, Piece, RemoteOptions
from penstock.repository.remote.remote_url import RemoteUrl


class RegisteredModel:
    """The version that an alias or a number names, under its number in the registry.

    The alias is asked for at each look: where it moves, the server follows. The registry is the
    one of ``MLFLOW_TRACKING_URI`` (and ``MLFLOW_REGISTRY_URI``); files are fetched by MLflow's own
    client, whole files at a time.

    Args:
        url: the address.
        options: time-outs.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(self, url: RemoteUrl, options: RemoteOptions) -> None:
        try:
            import mlflow
            import mlflow.artifacts
            import mlflow.exceptions
        except ImportError as err:
            raise ConfigError(
                f"{url}: models from models:/ need a package: pip install 'penstock[mlflow]'"
            ) from err
        self._mlflow: Any = mlflow
        self._url = url
        self._timeout_s = options.timeout_s

    def list(self) -> RemoteListing:
        """The version's files; see ``RemoteStore``."""
        return within(self._timeout_s, self._ask)

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        """The file, always from 0; see ``RemoteStore``. It is fetched whole before it is given."""
        del start
        with tempfile.TemporaryDirectory(prefix="penstock-mlflow-") as folder:
            path = Path(self._mlflow.artifacts.download_artifacts(file.source, dst_path=folder))
            position = 0
            with path.open("rb") as content:
                while data := content.read(PIECE_BYTES):
                    yield Piece(position, data)
                    position += len(data)

    def confirm(self, file: RemoteFile) -> None:
        """Nothing to see: a registered version does not change."""

    def _ask(self) -> RemoteListing:
        client = self._mlflow.MlflowClient()
        try:
            version = self._version(client)
            root = client.get_model_version_download_uri(self._url.place, str(version))
        except self._mlflow.exceptions.MlflowException as err:
            if err.get_http_status_code() not in (400, 404):
                raise
            raise LoadFailed(
                f"{self._url}: the registry has no such model, alias or version"
            ) from err
        files = (self._file(root, version, info) for info in self._below(root, ""))
        return RemoteListing(tuple(sorted(files, key=lambda f: f.path)), is_final=True)

    def _version(self, client: Any) -> int:
        kind, choice = self._url.choice[0], self._url.choice[1:]
        if kind == "/":
            return int(choice)
        return int(client.get_model_version_by_alias(self._url.place, choice).version)

    def _below(self, root: str, path: str) -> Iterator[tuple[str, int | None]]:
        """Path and size of every file below a folder of the version's artifacts."""
        place = f"{root.rstrip('/')}/{path}" if path else root
        for info in self._mlflow.artifacts.list_artifacts(artifact_uri=place):
            inner = f"{path}/{info.path.rpartition('/')[2]}".lstrip("/")
            if info.is_dir:
                yield from self._below(root, inner)
            else:
                yield inner, info.file_size

    def _file(self, root: str, version: int, found: tuple[str, int | None]) -> RemoteFile:
        path, size_bytes = found
        source = f"{root.rstrip('/')}/{path}"
        return RemoteFile(f"{version}/{path}", source, size_bytes, "registered")
