"""Request and output parameters: which of them the protocol itself takes, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.core.deadline import Deadline
from penstock.core.errors import InvalidArgument, Unsupported
from penstock.core.messages import Parameter
from penstock.dialects.open_inference.json_text import show
from penstock.dialects.open_inference.reply import OutputOptions

_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_SHARED_MEMORY = "shared_memory_"
_NS_PER_US = 1000


class RequestParameters(NamedTuple):
    """What the parameters of one request say.

    Attributes:
        others: those that no part of the protocol takes; the model's own.
        deadline: from ``timeout``; None where it is absent or 0.
        priority: from ``priority``; 0 is the default.
        binary: from ``binary_data_output``.
    """

    others: dict[str, Parameter]
    deadline: Deadline | None = None
    priority: int = 0
    binary: bool = False


def read_request(parameters: Mapping[str, Any], now_ns: int) -> RequestParameters:
    """Take the protocol's own parameters out of a request's.

    Args:
        parameters: as sent; values are bool, int, float or str.
        now_ns: the monotonic time that ``timeout`` counts from.

    Raises:
        InvalidArgument: a value has the wrong type or range, or a name is reserved.
        Unsupported: a sequence parameter holds anything but its neutral value.
    """
    others = dict(parameters)
    timeout_us = _natural("timeout", others.pop("timeout", 0))
    priority = _natural("priority", others.pop("priority", 0))
    binary = _flag("binary_data_output", others.pop("binary_data_output", False))
    for name in _SEQUENCE:
        if others.pop(name, None):
            raise Unsupported(
                f"parameter '{name}': the sequence extension is not supported by this server; "
                "send the request without it"
            )
    for name in others:
        _refuse_reserved(name)
    deadline = Deadline(now_ns + timeout_us * _NS_PER_US) if timeout_us else None
    return RequestParameters(others, deadline, priority, binary)


def read_output(name: str, parameters: Mapping[str, Any]) -> OutputOptions:
    """Read the parameters of one requested output.

    Raises:
        InvalidArgument: ``classification`` is no positive integer, ``binary_data`` no boolean.
        Unsupported: the output shall go to shared memory.
    """
    refuse_shared_memory("output", name, parameters)
    binary = _flag("binary_data", parameters.get("binary_data", False))
    classes = 0
    if "classification" in parameters:
        classes = _natural("classification", parameters["classification"])
        if classes == 0:
            raise InvalidArgument(
                f"output '{name}': parameter 'classification' must be greater than 0, got 0"
            )
    return OutputOptions(binary, classes)


def refuse_shared_memory(kind: str, name: str, parameters: Mapping[str, Any]) -> None:
    """Raise Unsupported where a tensor's parameters place it in shared memory.

    Args:
        kind: ``input`` or ``output``, for the message.
        name: the tensor's name.
        parameters: the tensor's parameters.
    """
    for key in parameters:
        if key.startswith(_SHARED_MEMORY):
            raise Unsupported(
                f"{kind} '{name}': parameter '{key}': shared memory is not supported by this "
                "server; send tensor data with the request"
            )


def _refuse_reserved(name: str) -> None:
    if name.startswith("triton_"):
        raise InvalidArgument(
            f"parameter keys starting with 'triton_' are reserved for Triton usage, got '{name}'"
        )
    if name == "headers":
        raise InvalidArgument("parameter 'headers' is reserved for forwarding HTTP headers")


def _natural(name: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidArgument(f"parameter '{name}' must be an integer >= 0, got {show(value)}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"parameter '{name}' must be a boolean, got {show(value)}")
    return value
