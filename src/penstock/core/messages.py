"""InferRequest and InferResponse: what every dialect decodes to and encodes from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from penstock.core.deadline import Deadline
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.tensor import Tensor

Parameter: TypeAlias = "str | int | float | bool"

NO_HEADERS: Final[Mapping[bytes, bytes]] = MappingProxyType({})
"""Of a request that came through no door."""


class Timeline:
    """When a request passed each station, in monotonic nanoseconds; 0: not passed (yet).

    Metrics, statistics and traces are all derived from it. Owned by the event loop's thread.
    """

    __slots__ = ("decoded_ns", "executed_ns", "executing_ns", "queued_ns", "started_ns")

    def __init__(self, started_ns: int = 0) -> None:
        self.started_ns = started_ns
        self.decoded_ns = 0
        self.queued_ns = 0
        self.executing_ns = 0
        self.executed_ns = 0


class InferRequest(msgspec.Struct):
    """A request for one prediction over one or more rows, free of any wire format.

    Attributes:
        model: the model's name.
        inputs: the tensors, names unique.
        choice: which version is wanted.
        id: the client's own id, echoed; "" when it gave none.
        outputs: names of the outputs wanted, in order; None: all of them.
        parameters: the request parameters that no dialect took for itself.
        deadline: when the answer loses its worth; None: the model's default timeout holds.
        priority: 0 is the default; 1 is the most urgent, larger is less urgent.
        traceparent: the W3C trace context the request came with; "" for none.
        timeline: when it passed each station.
        headers: the HTTP headers or the gRPC metadata it came with, names in lower case; of gRPC
            those alone that a route looks at, or none where there is no route.
        client: the address of the client, without a port; "" where it has none or nobody asked.
    """

    model: str
    inputs: tuple[Tensor, ...]
    choice: VersionChoice = LATEST
    id: str = ""
    outputs: tuple[str, ...] | None = None
    parameters: dict[str, Parameter] = msgspec.field(default_factory=dict)
    deadline: Deadline | None = None
    priority: int = 0
    traceparent: str = ""
    timeline: Timeline = msgspec.field(default_factory=Timeline)
    headers: Mapping[bytes, bytes] = NO_HEADERS
    client: str = ""


class InferResponse(msgspec.Struct):
    """The answer to one request.

    Attributes:
        model: the model's name.
        version: the version that answered.
        outputs: the tensors, in the order asked for, else in the signature's.
        id: the request's id; "" when it had none.
        parameters: what the model says beside its outputs.
    """

    model: str
    version: int
    outputs: tuple[Tensor, ...]
    id: str = ""
    parameters: dict[str, Parameter] = msgspec.field(default_factory=dict)
