"""RemoteFile: one file of a store, and all of them at one moment."""

from __future__ import annotations

import hashlib

import msgspec


class RemoteFile(msgspec.Struct, frozen=True):
    """One file, as its store tells of it.

    Attributes:
        path: where it belongs in the model's folder, with slashes.
        source: what the store calls it.
        size_bytes: its size; None: the store does not say.
        mark: changes whenever the content does: an etag, a checksum, a time; "": unknown.
        sha256: its digest, where it is known beforehand; "": it is not.
        md5: its MD5 in hex, where the store vouches for it; "": it does not.
    """

    path: str
    source: str
    size_bytes: int | None = None
    mark: str = ""
    sha256: str = ""
    md5: str = ""

    def identity(self, store: str) -> str:
        """A name for this content at this store, 32 hex digits; equal content, equal name.

        Args:
            store: the key of the store's address.
        """
        text = self.sha256 or f"{store}\0{self.source}\0{self.size_bytes}\0{self.mark}"
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


class RemoteListing(msgspec.Struct, frozen=True):
    """What is at an address at one moment.

    Attributes:
        files: every file, in the order of their paths.
        is_final: whether it is complete by nature (a digest, a commit, a registered version), so
            that no second look is needed to believe it.
    """

    files: tuple[RemoteFile, ...]
    is_final: bool = False
