"""Frames: what a server and its worker say to each other, and how it looks on the socket.

A frame is a prefix (two little-endian numbers: bytes of the head, bytes of the body), a head
(MessagePack, one of the structs below) and a body (the small tensors' bytes, one after another).
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import msgspec

from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature

PROTOCOL_VERSION: Final = 2
"""Server and worker speak only where theirs are the same."""

PREFIX: Final = struct.Struct("<IQ")

_MAX_HEAD_BYTES = 64 * 1024 * 1024
MAX_BODY_BYTES: Final = 2**36


class TensorHead(msgspec.Struct, array_like=True):
    """One tensor of a frame.

    Attributes:
        name, dtype, shape: the tensor's; BYTES elements are a MessagePack list.
        num_bytes: bytes it takes.
        offset: where it begins in the shared segment; -1: it is the next in the body.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    offset: int = -1


class WireError(msgspec.Struct, array_like=True):
    """An error of ``core.errors`` on its way.

    Attributes:
        kind: its class's name.
        message: its text.
        retryable, retry_after_s, is_reported: as there.
        index: of an InvalidInput.
        place: of a ModelFailed.
    """

    kind: str
    message: str
    retryable: bool = False
    retry_after_s: float | None = None
    is_reported: bool = False
    index: int = 0
    place: str = ""


class Hello(msgspec.Struct, tag=True):
    """The worker's first word: it is there, and this is what it speaks."""

    protocol: int
    penstock: str


class Load(msgspec.Struct, tag=True):
    """Load this artifact.

    Attributes:
        name, version, path, root, runtime, class_name, num_bytes, revision: as in ArtifactRef.
        manifest: the manifest, as its fields.
        cpus: the processors the worker may use; empty: all.
    """

    name: str
    version: int
    path: str
    root: str
    runtime: str
    class_name: str | None
    num_bytes: int
    revision: str
    manifest: dict[str, Any]
    cpus: tuple[int, ...] = ()


class Loaded(msgspec.Struct, tag=True):
    """It is loaded.

    Attributes:
        signature: what the model takes and gives.
        platform: the runtime's.
    """

    signature: ModelSignature
    platform: str


class Failed(msgspec.Struct, tag=True):
    """A load, or the call of another model, came to nothing."""

    error: WireError


class Execute(msgspec.Struct, tag=True):
    """Compute one batch.

    Attributes:
        tensors: the inputs.
        parameters: what the requests share.
        deadline_ns: monotonic; None: it is not known.
        input_segment: where the inputs with an offset are; -1: there are none.
        output_segment: where outputs may be laid; -1: nowhere.
        new_segments: ids and sizes of the segments whose file descriptors come with this frame.
        dropped_segments: ids that are used no more.
    """

    tensors: list[TensorHead]
    parameters: dict[str, Parameter]
    deadline_ns: int | None = None
    input_segment: int = -1
    output_segment: int = -1
    new_segments: list[tuple[int, int]] = []
    dropped_segments: list[int] = []


class Executed(msgspec.Struct, tag=True):
    """One batch computed.

    Attributes:
        tensors: the outputs; those with an offset are in the output segment.
        invalid: the rows that were refused.
        error: what all of the batch share instead; None: there are outputs.
        started_ns, ended_ns: monotonic, around the model's own time.
        segment_bytes: how large a segment would have held all large outputs; 0: there were none.
    """

    tensors: list[TensorHead]
    invalid: dict[int, WireError]
    error: WireError | None
    started_ns: int
    ended_ns: int
    segment_bytes: int = 0


class Call(msgspec.Struct, tag=True):
    """The model in the worker asks another model of the server."""

    model: str
    version: str
    tensors: list[TensorHead]


class Answer(msgspec.Struct, tag=True):
    """What that other model answered."""

    tensors: list[TensorHead]


class Log(msgspec.Struct, tag=True):
    """A record for the server's log."""

    level: int
    logger: str
    text: str


class Share(msgspec.Struct, tag=True):
    """Several processes will ask: say what you are at in the file whose descriptor comes along."""


class Attach(msgspec.Struct, tag=True):
    """One more process asks, through the socket whose descriptor comes along.

    Attributes:
        channel: the socket's number, never used again for this model; > 0.
    """

    channel: int


class Ping(msgspec.Struct, tag=True):
    """Are you there?"""


class Pong(msgspec.Struct, tag=True):
    """I am."""


ToWorker = Load | Execute | Answer | Failed | Ping | Share | Attach
ToServer = Hello | Loaded | Failed | Executed | Call | Log | Pong


class Frame(NamedTuple):
    """One frame as it came: head and body, still encoded."""

    head: memoryview
    body: memoryview


class BadFrame(Exception):
    """What came over a channel is no frame; the other side is broken."""


_encoder: Final = msgspec.msgpack.Encoder()


def encode_head(message: msgspec.Struct, body_bytes: int = 0) -> bytes:
    """The prefix and the head of a frame whose body has ``body_bytes``."""
    head = _encoder.encode(message)
    return PREFIX.pack(len(head), body_bytes) + head


def frame_sizes(
    prefix: bytes | bytearray | memoryview, max_body_bytes: int = MAX_BODY_BYTES
) -> tuple[int, int]:
    """Bytes of head and body that a prefix announces.

    Raises:
        BadFrame: no frame is so large, or none that is expected here.
    """
    head_bytes, body_bytes = PREFIX.unpack(prefix)
    if head_bytes > _MAX_HEAD_BYTES or body_bytes > max_body_bytes:
        raise BadFrame(f"a frame of {head_bytes} + {body_bytes} bytes")
    return head_bytes, body_bytes
