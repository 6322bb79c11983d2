"""gRPC's messages in HTTP/2's data: a flag, a length, the bytes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from penstock.core.errors import InvalidArgument, PenstockError, TooLarge
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.compression import decompress

PREFIX_BYTES = 5
_PREFIX = struct.Struct(">BI")
_COPY_BELOW_BYTES = 16 * 1024
_UNPACK_HERE_BYTES = 16 * 1024
"""What unpacks to 16 MiB at most: ten milliseconds."""


def told_length(data: Buffer) -> int:
    """What the message that ``data`` begins with says it takes, prefix included; 0: unknown."""
    return PREFIX_BYTES + int(_PREFIX.unpack_from(data)[1]) if len(data) >= PREFIX_BYTES else 0


class MessageFormat:
    """How one client writes its messages.

    Args:
        encoding: one of ``request_head.ENCODINGS``.
        max_bytes: the most a message may take as it came; -1: no limit.
        max_unpacked_bytes: the most it may unpack to.
    """

    __slots__ = ("_encoding", "_max_bytes", "_max_unpacked_bytes")

    def __init__(self, encoding: str, max_bytes: int, max_unpacked_bytes: int) -> None:
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._max_unpacked_bytes = max_unpacked_bytes

    def length(self, data: Buffer) -> int:
        """What the message that ``data`` begins with takes, prefix included.

        Args:
            data: at least ``PREFIX_BYTES``.

        Raises:
            InvalidArgument: this is no message.
            TooLarge: it is over the limit.
        """
        flag, size = _PREFIX.unpack_from(data)
        if flag > 1:
            raise InvalidArgument(f"a message begins with a flag of 0 or 1, got {flag}")
        if flag and self._encoding == "identity":
            raise InvalidArgument(
                "a message is marked as compressed, but there is no grpc-encoding"
            )
        if 0 <= self._max_bytes < size:
            raise TooLarge(
                f"the message of {size} bytes exceeds the maximum of {self._max_bytes} bytes"
            )
        return PREFIX_BYTES + int(size)

    def whole(self, data: Buffer) -> Buffer:
        """The one message that ``data`` is, packed as it is; a large one is not copied.

        Raises:
            InvalidArgument: it is not one message.
            TooLarge: it is over a limit.
        """
        if len(data) < PREFIX_BYTES or self.length(data) != len(data):
            raise InvalidArgument(
                f"expected one message, got {len(data)} bytes that are none or more than one"
            )
        if len(data) < _COPY_BELOW_BYTES:
            return data[PREFIX_BYTES:]
        return memoryview(data)[PREFIX_BYTES:]

    async def read(self, data: Buffer) -> Buffer:
        """The one message that ``data`` is, unpacked: off the event loop where that may take long.

        Raises:
            InvalidArgument: it is not one message, or corrupt.
            TooLarge: it is over a limit, as it came or unpacked.
        """
        message = self.whole(data)
        if not data[0]:
            return message
        if len(message) <= _UNPACK_HERE_BYTES:
            return self._unpack(message)
        return await asyncio.to_thread(self._unpack, message)

    def _unpack(self, packed: Buffer) -> bytes:
        return decompress(bytes(packed), self._encoding, self._max_unpacked_bytes)


def frame_message(pieces: Sequence[Buffer], max_bytes: int = -1) -> bytes:
    """An answer's message with its prefix, in one piece.

    Args:
        pieces: what it is put together from.
        max_bytes: the most they may take; -1: no limit.

    Raises:
        TooLarge: they take more.
    """
    size = sum(map(len, pieces))
    if 0 <= max_bytes < size:
        raise TooLarge(f"the answer of {size} bytes exceeds the maximum of {max_bytes} bytes")
    return b"".join((_PREFIX.pack(0, size), *pieces))


class MessageQueue:
    """The messages of a call that has any number of them, as they came, until they are read.

    How many bytes wait is up to who feeds it: a client is not to be told to go on while
    ``has_message``.

    Concurrency: the event loop's thread; one reader.
    """

    def __init__(self, form: MessageFormat) -> None:
        self._form = form
        self._data = bytearray()
        self._has_ended = False
        self._changed = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Take in what came; what is wrong with it is raised where it is read."""
        self._data += data
        self._changed.set()

    def end(self) -> None:
        """There is no more to come."""
        self._has_ended = True
        self._changed.set()

    def has_message(self) -> bool:
        """Whether a whole message waits to be read, or what is wrong with one."""
        try:
            return self._next_bytes() is not None
        except PenstockError:
            return True

    async def take(self) -> bytes | None:
        """The next message, packed as it is, with its prefix; None: there are no more.

        Raises:
            InvalidArgument: it is no message, or cut short.
            TooLarge: it is over the limit.
        """
        while True:
            self._changed.clear()
            size = self._next_bytes()
            if size is not None:
                message = bytes(self._data[:size])
                del self._data[:size]
                return message
            if not self._has_ended:
                await self._changed.wait()
            elif self._data:
                raise InvalidArgument("the last message of the call is cut short")
            else:
                return None

    def _next_bytes(self) -> int | None:
        """What the next message takes; None: it is not all there."""
        if len(self._data) < PREFIX_BYTES:
            return None
        size = self._form.length(self._data)
        return size if len(self._data) >= size else None
