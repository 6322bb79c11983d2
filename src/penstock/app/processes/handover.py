"""What the supervisor and a serving process say to each other: one JSON value a line."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from penstock.app.settings import Settings
from penstock.core.byte_size import ByteSize

T = TypeVar("T")


class Handover(msgspec.Struct, frozen=True, tag=True):
    """All that a serving process is told when it starts.

    Attributes:
        paths: what is served.
        settings: all settings, as ``settings_out`` writes them.
        folder: the private folder of this server.
        control_url: where the control store is.
        http_fd: the descriptor of the socket that listens, inherited.
        grpc_port: the gRPC port; 0: there is none.
        number: its place, from 1.
        id: unlike that of any other process.
        opens_late: whether it takes connections only when its models and those of all others
            are loaded, because another takes them meanwhile.
        deaths: serving processes that have died so far.
        companions: what the supervisor's companions have to say, by name.
    """

    paths: tuple[str, ...]
    settings: dict[str, Any]
    folder: str
    control_url: str
    http_fd: int
    grpc_port: int
    number: int = 0
    id: str = ""
    opens_late: bool = False
    deaths: int = 0
    companions: dict[str, str] = {}


class Go(msgspec.Struct, frozen=True, tag=True):
    """Every process has come up: the start is over.

    Attributes:
        num_processes: how many there are.
        announces: whether this one tells people what is served.
    """

    num_processes: int
    announces: bool = False


class Deaths(msgspec.Struct, frozen=True, tag=True):
    """So many serving processes have died so far."""

    count: int


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Does the event loop of the process still turn?"""


class Pong(msgspec.Struct, frozen=True, tag=True):
    """It does."""


class Up(msgspec.Struct, frozen=True, tag=True):
    """A serving process has loaded its models, or knows that some cannot be."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A serving process cannot start, and ends.

    Attributes:
        kind: the error's class.
        message: its text.
    """

    kind: str
    message: str


ToProcess = Handover | Go | Deaths | Ping
ToSupervisor = Up | Failed | Pong


def line(message: ToProcess | ToSupervisor) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message) + b"\n"


def settings_out(settings: Settings) -> dict[str, Any]:
    """Settings as plain values; ``settings_in`` makes the same ones of them."""
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=int)
    return plain


def settings_in(plain: dict[str, Any]) -> Settings:
    """The settings again."""
    return msgspec.convert(plain, Settings, dec_hook=_to_size)


def _to_size(kind: type, value: object) -> object:
    return ByteSize.parse(value) if kind is ByteSize else value
