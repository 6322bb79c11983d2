"""What a route looks at in a request: the key it is assigned by, and the values of rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from penstock.core.dtype import DType
from penstock.core.messages import InferRequest, Parameter
from penstock.router.route import RoutingKey, Rule

ReadKey: TypeAlias = Callable[[InferRequest], "bytes | None"]
"""Reads the key of a request; None or nothing: it has none."""

Matches: TypeAlias = Callable[[InferRequest], bool]


def key_reader(key: RoutingKey) -> ReadKey | None:
    """What reads the key that a route wants; None: it wants none.

    A header's key is its bytes as they came, a text's its UTF-8, a number's or a boolean's its
    JSON text: one caller has one key, whichever way it comes.
    """
    if key.header:
        return _of_header(key.header.encode())
    if key.parameter:
        return _of_parameter(key.parameter)
    if key.input:
        return _of_input(key.input)
    return _of_client if key.client else None


def matcher(rule: Rule) -> Matches:
    """Whether a request is one that the rule takes."""
    if rule.header:
        name, wanted = rule.header.encode(), rule.equals.encode("latin-1")
        return lambda request: request.headers.get(name) == wanted
    parameter, text = rule.parameter, rule.equals

    def matches(request: InferRequest) -> bool:
        value = request.parameters.get(parameter)
        return value is not None and _text(value) == text

    return matches


def _of_header(name: bytes) -> ReadKey:
    return lambda request: request.headers.get(name)


def _of_parameter(name: str) -> ReadKey:
    def read(request: InferRequest) -> bytes | None:
        value = request.parameters.get(name)
        return None if value is None else _encoded(_text(value))

    return read


def _of_input(name: str) -> ReadKey:
    def read(request: InferRequest) -> bytes | None:
        tensor = next((one for one in request.inputs if one.name == name), None)
        if tensor is None or tensor.array.size != 1:
            return None
        value = tensor.array.item()
        return value if tensor.dtype is DType.BYTES else _encoded(_text(value))

    return read


def _of_client(request: InferRequest) -> bytes:
    return _encoded(request.client)


def _text(value: Parameter) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
