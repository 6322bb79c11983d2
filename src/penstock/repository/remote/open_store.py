"""open_store: an address becomes a RemoteStore."""

from __future__ import annotations

from penstock.repository.remote.remote_store import RemoteOptions, RemoteStore
from penstock.repository.remote.remote_url import OBJECT_SCHEMES, RemoteUrl


def open_store(url: RemoteUrl, options: RemoteOptions) -> RemoteStore:
    """What an address is read with. Connects to nothing; may import for a second.

    Raises:
        ConfigError: a package is not installed, or the address lacks a digest.
    """
    if url.scheme in OBJECT_SCHEMES:
        from penstock.repository.remote.object_store import ObjectStore

        return ObjectStore(url, options)
    if url.scheme == "models":
        from penstock.repository.remote.registered_model import RegisteredModel

        return RegisteredModel(url, options)
    if url.scheme == "hf":
        from penstock.repository.remote.hub_model import HubModel

        return HubModel(url, options)
    from penstock.repository.remote.https_file import HttpsFile

    return HttpsFile(url, options)
