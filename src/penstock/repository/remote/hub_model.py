"""HubModel: a model of a Hugging Face hub, by id and revision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.core.errors import ConfigError
from penstock.repository.remote.bounded_call import within
from penstock.repository.remote.http_reader import HttpReader
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import Piece, RemoteOptions
from penstock.repository.remote.remote_url import RemoteUrl

_REDUNDANT_ENDINGS = (".bin", ".h5", ".msgpack", ".pt", ".pth")
"""The same weights again for other readers, where there are safetensors."""


class HubModel:
    """All files of a model's revision, as version 1.

    The revision's commit is asked for at each look, so a branch is followed and a commit stays.
    The hub is the one of ``HF_ENDPOINT``, the token the one of ``HF_TOKEN``.

    Args:
        url: the address.
        options: time-outs.

    Raises:
        ConfigError: the hub's client is not installed.
    """

    def __init__(self, url: RemoteUrl, options: RemoteOptions) -> None:
        try:
            import huggingface_hub
        except ImportError as err:
            raise ConfigError(
                f"{url}: models from hf:// need a package: pip install 'penstock[hub]'"
            ) from err
        self._hub: Any = huggingface_hub
        self._url = url
        self._timeout_s = options.timeout_s

    def list(self) -> RemoteListing:
        """The revision's files; see ``RemoteStore``."""
        info = within(self._timeout_s, self._ask)
        files = [f for f in (self._file(info, sibling) for sibling in info.siblings or ()) if f]
        if any(file.path.endswith(".safetensors") for file in files):
            files = [f for f in files if not f.path.endswith(_REDUNDANT_ENDINGS)]
        return RemoteListing(tuple(sorted(files, key=lambda file: file.path)), is_final=True)

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        """The bytes from ``start``; see ``RemoteStore``. The token stays with the hub."""
        headers = self._hub.utils.build_hf_headers()
        return HttpReader(self._timeout_s, headers).read(file.source, start)

    def confirm(self, file: RemoteFile) -> None:
        """Nothing to see: a commit does not change."""

    def _ask(self) -> Any:
        return self._hub.HfApi().model_info(
            self._url.place,
            revision=self._url.choice or None,
            files_metadata=True,
            timeout=self._timeout_s,
        )

    def _file(self, info: Any, sibling: Any) -> RemoteFile | None:
        """One file; None: one that no model needs."""
        name: str = sibling.rfilename
        if name.rpartition("/")[2].startswith("."):
            return None
        lfs = sibling.lfs
        return RemoteFile(
            f"1/{name}",
            self._hub.hf_hub_url(info.id, name, revision=info.sha),
            sibling.size,
            sibling.blob_id or info.sha,
            sha256=lfs.sha256 if lfs is not None else "",
        )
