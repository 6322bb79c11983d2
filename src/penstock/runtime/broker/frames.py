"""What a serving process and the broker say to each other. Framed as in ``process.frame``."""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.runtime.process.frame import Load, Loaded, WireError


class Acquire(msgspec.Struct, tag=True):
    """I want to share a worker. Answered by ``Ready`` or ``Refused``.

    Attributes:
        seat: what I call my share of it; never used again.
        index: which copy of the model.
        load: the model. Who asks for the same of both shares one worker.
    """

    seat: int
    index: int
    load: Load


class Release(msgspec.Struct, tag=True):
    """I need that share no more. Answered by ``Released``."""

    seat: int


class Kill(msgspec.Struct, tag=True):
    """End the worker at the other end of this channel; nothing, if that is another by now."""

    seat: int
    channel: int
    why: str


class Answered(msgspec.Struct, tag=True):
    """The worker at the other end of this channel has answered a request: it is well."""

    seat: int
    channel: int


class Given(msgspec.Struct, tag=True):
    """Here is a new worker. With it come two descriptors: a socket to it, and its state file.

    Attributes:
        seat: whose.
        channel: the number of the socket.
        pid: the worker's process.
    """

    seat: int
    channel: int
    pid: int


class Ready(msgspec.Struct, tag=True):
    """The worker has its model."""

    seat: int
    loaded: Loaded


class Refused(msgspec.Struct, tag=True):
    """There is no such worker, and the share is over."""

    seat: int
    error: WireError


class Gone(msgspec.Struct, tag=True):
    """The worker died; another will come.

    Attributes:
        seat: whose.
        why: the reason, for people.
        is_counted: said to one of those who share it, so that all together count it once.
    """

    seat: int
    why: str
    is_counted: bool


class Faulted(msgspec.Struct, tag=True):
    """The worker is in quarantine."""

    seat: int
    error: WireError


class Released(msgspec.Struct, tag=True):
    """The share is over, and so is the worker if it was the last."""

    seat: int


ToBroker = Acquire | Release | Kill | Answered
ToGuest = Given | Ready | Refused | Gone | Faulted | Released

decode_from_guest: Final = msgspec.msgpack.Decoder(ToBroker).decode
decode_from_broker: Final = msgspec.msgpack.Decoder(ToGuest).decode
