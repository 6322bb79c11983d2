"""Call: what a method may know of the call it answers, whichever engine carries it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from penstock.dialects.open_inference.grpc_wire import Buffer

_MAX_DETAILS_BYTES = 1024


class Call(Protocol):
    """One call."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The client's metadata by lower-case name, as far as an engine keeps it: at least what
        ``GrpcApi.headers`` names.
        """
        ...

    @property
    def client(self) -> str:
        """The address of the client, without a port; "" where it has none."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline, negative once it is over; None: it has none."""
        ...

    def metadata(self, name: str) -> str:
        """A text entry of the client's metadata, by its lower-case name; "" where it has none."""
        ...


Unary: TypeAlias = Callable[[Buffer, Call], Awaitable[Sequence[Buffer]]]
"""Answers one message with one message, in pieces. Raises ``PenstockError`` alone."""

Streaming: TypeAlias = Callable[[AsyncIterator[Buffer], Call], AsyncIterator[bytes]]
"""Answers messages as they come with any number of others. Raises ``PenstockError`` alone."""


class GrpcOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gRPC door is set up.

    Attributes:
        max_message_bytes: the most a message may take, a question or an answer; -1: no limit.
        shares_port: whether other processes listen on the same port, too.
    """

    max_message_bytes: int = -1
    shares_port: bool = False


def status_details(text: str) -> str:
    """A text no longer than clients take as a status's details; they lose longer ones, code and
    all.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _MAX_DETAILS_BYTES:
        return encoded.decode()
    return encoded[:_MAX_DETAILS_BYTES].decode("utf-8", "ignore") + "..."
