"""BodyReceiver: takes in a request's body where the tensors will be read, past the parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np


class BodyReceiver(asyncio.BufferedProtocol):
    """A transport's protocol from the first bytes of a body to its last one.

    The system writes what comes straight into the body's memory, which is all there from the
    beginning and used as it fills: no piece of it is copied again.

    Args:
        connection: the protocol before and after; told of everything else that happens.
        parts: the body's bytes that have come already.
        length: of the whole body; more than the parts hold.
        on_complete: given the body when the last byte is there.

    Raises:
        MemoryError: there is no room for the body.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        connection: asyncio.Protocol,
        parts: Sequence[bytes],
        length: int,
        on_complete: Callable[[memoryview], None],
    ) -> None:
        self._connection = connection
        self._on_complete = on_complete
        self._body: memoryview = np.empty(length, np.uint8).data
        self._filled = 0
        for part in parts:
            self._body[self._filled : self._filled + len(part)] = part
            self._filled += len(part)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint  # what is missing, never more: the next bytes are the next request's
        return self._body[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many more are there."""
        self._filled += nbytes
        if self._filled == len(self._body):
            self._on_complete(self._body)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read an earlier answer."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._connection.resume_writing()
