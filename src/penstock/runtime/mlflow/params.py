"""A request's parameters as those of an MLflow model's signature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.core.errors import InvalidArgument
from penstock.core.messages import Parameter
from penstock.runtime.mlflow.mlmodel import Param

_KINDS: Mapping[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "string": (str,),
    "datetime": (str,),
}


def read_params(params: Sequence[Param], given: Mapping[str, Parameter]) -> dict[str, Any]:
    """The parameters that the signature knows; the others are not the model's.

    Raises:
        InvalidArgument: one is of another type than the signature says.
    """
    return {param.name: _read(param, given[param.name]) for param in params if param.name in given}


def _read(param: Param, value: Parameter) -> Any:
    kinds = _KINDS.get(param.type)
    if kinds is None or param.is_list:
        return _read_json(param, kinds, value)
    if not _is_of(kinds, value):
        raise _wrong(param, param.type, value)
    return float(value) if float in kinds else value


def _read_json(param: Param, kinds: tuple[type, ...] | None, value: Parameter) -> Any:
    expected = f"a JSON list of {param.type} as text" if param.is_list else "JSON as text"
    try:
        read = json.loads(value if isinstance(value, str) else "")
    except ValueError as err:
        raise _wrong(param, expected, value) from err
    if param.is_list and not isinstance(read, list):
        raise _wrong(param, expected, value)
    if param.is_list and kinds and not all(_is_of(kinds, item) for item in read):
        raise _wrong(param, expected, value)
    return read


def _is_of(kinds: tuple[type, ...], value: object) -> bool:
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _wrong(param: Param, expected: str, value: Parameter) -> InvalidArgument:
    return InvalidArgument(f"parameter '{param.name}': expected {expected}, got {value!r}")
