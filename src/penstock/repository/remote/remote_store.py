"""RemoteStore: what every place that models are fetched from can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec

from penstock.repository.remote.remote_file import RemoteFile, RemoteListing

PIECE_BYTES = 8 * 1024 * 1024
"""What is asked for at once, where a store can be asked for a part; must come in ``timeout_s``."""


class RemoteOptions(msgspec.Struct, frozen=True):
    """How stores are talked to.

    Attributes:
        timeout_s: the longest wait for one answer: a listing, or 8 MiB of a file, in seconds.
        attempts: how often something that can pass is tried, >= 1.
        initial_backoff_s: wait after the first failed attempt, in seconds; it doubles.
        max_backoff_s: the longest wait between attempts, in seconds.
        allow_unverified: whether a file may come by HTTPS without a digest.
    """

    timeout_s: float = 30.0
    attempts: int = 5
    initial_backoff_s: float = 0.5
    max_backoff_s: float = 20.0
    allow_unverified: bool = False


class Piece(NamedTuple):
    """Some bytes of a file.

    Attributes:
        start: where they belong, in bytes from the file's beginning.
        data: the bytes.
    """

    start: int
    data: bytes


class RemoteStore(Protocol):
    """One address, read only. Every method blocks and may raise whatever its client raises."""

    def list(self) -> RemoteListing:
        """What is there now. No file: the store answers, and nothing is at the address."""
        ...

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        """The bytes of a file in order, from ``start`` on.

        A store that cannot begin in the middle begins at 0; the first piece tells.
        """
        ...

    def confirm(self, file: RemoteFile) -> None:
        """See that a file without a digest is still the one that was listed, after it was read.

        Raises:
            ConnectionError: it is another one.
        """
        ...
