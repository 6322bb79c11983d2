"""Channel: one end of a socket that carries frames, on the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

from penstock.runtime.process.frame import MAX_BODY_BYTES, ToServer, encode_head
from penstock.runtime.process.frame_reader import FrameReader
from penstock.runtime.process.tensor_block import Packed

Received = TypeVar("Received")

decode_from_worker: Callable[[memoryview], ToServer] = msgspec.msgpack.Decoder(ToServer).decode


class Channel(Generic[Received]):
    """Sends frames without ever blocking, and hands on what comes.

    Args:
        sock: one end of a socket pair; the channel owns it.
        decode: reads a frame's head.
        on_message: told of each message and its body; may raise BadFrame.
        on_lost: told once: "" when the other side has closed, which is how a death looks from
            here, else what it sent that is no message.
        takes_fds: whether descriptors come along; see ``take_fds``.
        max_body_bytes: who sends a larger body has sent no message.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        sock: socket.socket,
        decode: Callable[[memoryview], Received],
        *,
        on_message: Callable[[Received, memoryview], None],
        on_lost: Callable[[str], None],
        takes_fds: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(sock, takes_fds=takes_fds, max_body_bytes=max_body_bytes)
        self._decode = decode
        self._on_message = on_message
        self._on_lost = on_lost
        self._unsent: deque[tuple[memoryview, list[int]]] = deque()
        self._is_open = True
        self._loop.add_reader(sock.fileno(), self._read)

    def send(
        self, message: msgspec.Struct, packed: Packed | None = None, fds: Sequence[int] = ()
    ) -> None:
        """Send a message, now or as soon as the socket takes it.

        Args:
            message: the head.
            packed: the tensors whose bytes are the body; None: no body.
            fds: descriptors to go with it, which are then closed here.

        Raises:
            Exception: the message cannot be encoded; nothing is sent and nothing closed.
        """
        if packed is None or not packed.parts:
            data = encode_head(message)
        else:
            data = b"".join((encode_head(message, packed.num_bytes), *packed.parts))
        if not self._is_open:
            _close(fds)
            return
        self._unsent.append((memoryview(data), list(fds)))
        if len(self._unsent) == 1:
            self._flush()

    def take_fds(self, count: int) -> list[int]:
        """The next descriptors that came, for the caller to close."""
        taken, self._reader.fds = self._reader.fds[:count], self._reader.fds[count:]
        return taken

    def finish(self) -> None:
        """Hand on what has come already, then close."""
        while self._is_open and self._read():
            pass
        self.close()

    def close(self) -> None:
        """Close the socket; nothing is told any more."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, fds in self._unsent:
            _close(fds)
        self._unsent.clear()
        _close(self._reader.fds)
        self._reader.fds.clear()

    def _read(self) -> bool:
        """Read one frame; the loop calls again while there are more. Whether there was one."""
        try:
            frame = self._reader.read()
            if frame is None:
                self._lose("")
                return False
            self._on_message(self._decode(frame.head), frame.body)
        except BlockingIOError:
            return False
        except OSError:
            self._lose("")
            return False
        except Exception as err:  # noqa: BLE001  # the edge to a worker, which may send anything
            self._lose(f"it sent what is no message: {err or type(err).__name__}")
            return False
        return True

    def _flush(self) -> None:
        try:
            while self._unsent:
                data, fds = self._unsent[0]
                sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
                _close(fds)
                fds.clear()
                if sent < len(data):
                    self._unsent[0] = (data[sent:], fds)
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._flush)
            return
        except OSError:  # told from the loop: the sender is not done yet
            self._loop.call_soon(self._lose, "")
            return
        self._loop.remove_writer(self._sock.fileno())

    def _lose(self, why: str) -> None:
        if self._is_open:
            self.close()
            self._on_lost(why)


FromWorker = Channel[ToServer]


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
