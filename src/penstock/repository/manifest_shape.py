"""Do plain values fit a Struct: known fields, right types, right ranges, in words."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import inspect

from penstock.core.byte_size import ByteSize
from penstock.core.errors import ConfigError
from penstock.repository.manifest import Manifest

_WORDS: Mapping[type[inspect.Type], str] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.VarTupleType: "a list",
    inspect.StructType: "a mapping",
    inspect.DictType: "a mapping",
    inspect.CustomType: "a size in bytes such as 256MiB",
}
_PYTHON: Mapping[type[inspect.Type], tuple[type, ...]] = {
    inspect.IntType: (int,),
    inspect.FloatType: (int, float),
    inspect.StrType: (str,),
    inspect.BoolType: (bool,),
    inspect.VarTupleType: (list, tuple),
    inspect.StructType: (dict,),
    inspect.DictType: (dict,),
}


def check_shape(
    data: object, source: str, kind: type[msgspec.Struct] = Manifest, path: str = "$"
) -> None:
    """Check that ``data`` can become a Manifest, or another Struct that a model.yaml holds.

    Args:
        data: what a model.yaml or a load request holds, or a part of it.
        source: what an error calls it.
        kind: what it shall become.
        path: where in the whole it stands.

    Raises:
        ConfigError: the first misfit, as ``source: $.path: what was expected, what came``.
    """
    _Checker(source).check(data, _type_info(kind), path)


def check_names(data: Iterable[object], source: str, known: Iterable[str], path: str = "$") -> None:
    """Check that there is no other name than those that are known.

    Args:
        data: the names, or a mapping of them.
        source: what an error calls it.
        known: those there may be.
        path: where in the whole they stand.

    Raises:
        ConfigError: the first that is unknown, with the nearest one that is known.
    """
    names = list(known)
    for name in map(str, data):
        if name not in names:
            text = f"unknown field, {nearest(name, names)}"
            raise ConfigError(f"{source}: {path}.{name[:64]}: {text}")


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known word nearest to a wrong one, else the list of all."""
    names = list(known)
    match = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {match[0]!r}?" if match else f"expected one of: {', '.join(names)}"


@functools.cache
def _type_info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


class _Checker:
    """Walks values and types side by side."""

    def __init__(self, source: str) -> None:
        self._source = source

    def check(self, value: object, kind: inspect.Type, path: str) -> None:
        """Raise ConfigError where ``value`` is not of ``kind``."""
        if isinstance(kind, inspect.AnyType):
            return
        fitting = [k for k in _alternatives(kind) if _is_instance(value, k)]
        if not fitting:
            self._refuse(path, f"expected {_expected(kind)}, got {describe(value)}")
        if isinstance(value, dict):
            self._mapping(value, fitting[0], path)
        elif isinstance(value, list | tuple) and isinstance(fitting[0], inspect.VarTupleType):
            for position, item in enumerate(value):
                self.check(item, fitting[0].item_type, f"{path}[{position}]")

    def _mapping(self, value: dict[object, object], kind: inspect.Type, path: str) -> None:
        for key, item in value.items():
            if not isinstance(key, str):
                hint = "; put it in quotes" if isinstance(key, bool) else ""
                self._refuse(path, f"a name must be text, got {describe(key)}{hint}")
            if isinstance(kind, inspect.DictType):
                self.check(key, kind.key_type, f"{path}: name")
                self.check(item, kind.value_type, f"{path}.{key}")
        if isinstance(kind, inspect.StructType):
            self._fields(value, kind, path)

    def _fields(self, value: dict[object, object], kind: inspect.StructType, path: str) -> None:
        fields = {field.name: field for field in kind.fields}
        for key, item in value.items():
            name = str(key)
            if name not in fields:
                self._refuse(f"{path}.{name[:64]}", f"unknown field, {nearest(name, fields)}")
            self.check(item, fields[name].type, f"{path}.{name}")
        for name, field in fields.items():
            if field.required and name not in value:
                self._refuse(f"{path}.{name}", f"missing, expected {_expected(field.type)}")

    def _refuse(self, path: str, text: str) -> None:
        raise ConfigError(f"{self._source}: {path}: {text}")


def describe(value: object) -> str:
    """A value in words, for ``got ...``; long ones are cut."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case str():
            return f"text {value[:64]!r}"
        case int() | float():
            is_short = isinstance(value, float) or abs(value) < 10**64
            return str(value) if is_short else "an enormous number"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__} ({str(value)[:64]}); put it in quotes"


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _is_instance(value: object, kind: inspect.Type) -> bool:
    """Whether ``value`` itself (not what is in it) is of ``kind`` and in its range."""
    if isinstance(kind, inspect.NoneType):
        return value is None
    if isinstance(kind, inspect.LiteralType):
        return isinstance(value, str) and value in kind.values
    if isinstance(kind, inspect.CustomType):
        return _is_byte_size(value)
    if isinstance(value, bool) and not isinstance(kind, inspect.BoolType):
        return False
    return isinstance(value, _PYTHON[type(kind)]) and _is_in_range(value, kind)


def _is_byte_size(value: object) -> bool:
    try:
        return ByteSize.parse(value) >= 1
    except ValueError:
        return False


def _is_in_range(value: object, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.StrType):
        return not kind.min_length or len(str(value)) >= kind.min_length
    if not isinstance(kind, inspect.IntType | inspect.FloatType):
        return True
    assert isinstance(value, int | float)  # noqa: S101 - _PYTHON says so
    return (
        _is_representable(value)
        and (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _is_representable(value: float) -> bool:
    """Whether it fits 64 bits and is not infinite or NaN."""
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def _expected(kind: inspect.Type) -> str:
    """A type in words, for ``expected ...``."""
    kinds = [k for k in _alternatives(kind) if not isinstance(k, inspect.NoneType)]
    return " or ".join(_expected_one(k) for k in kinds)


def _expected_one(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(repr(value) for value in kind.values)
    bounds = ""
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        bounds = _bounds(kind)
    if isinstance(kind, inspect.StrType) and kind.min_length:
        bounds = " that is not empty"
    return _WORDS[type(kind)] + bounds


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    bounds = f" >= {kind.ge}" if kind.ge is not None else ""
    bounds += f" > {kind.gt}" if kind.gt is not None else ""
    upper = f"<= {kind.le}" if kind.le is not None else ""
    upper = f"< {kind.lt}" if kind.lt is not None else upper
    return bounds + (f" and {upper}" if bounds and upper else f" {upper}" if upper else "")


def to_manifest(data: object) -> Manifest:
    """Make a Manifest of values that ``check_shape`` accepts."""
    return msgspec.convert(data, Manifest, dec_hook=decode_size)


def decode_size(kind: type, value: object) -> object:
    """What msgspec asks of a ByteSize; see ``msgspec.convert``."""
    return ByteSize.parse(value) if kind is ByteSize else value
