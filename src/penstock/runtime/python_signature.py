"""Type hints of a Python model's methods -> its signature.

A stage is in one of two styles. *Items*: one parameter ``list[T]``, answer ``list[T]``; a scalar
``T`` is one tensor, a class ``T`` one tensor per field. *Columns*: one array parameter per
tensor; the answer is an array or a TypedDict of arrays.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, LoadFailed
from penstock.core.model import TensorHint
from penstock.core.signature import TensorSpec
from penstock.repository.manifest import TensorField
from penstock.runtime.declared import spec_of

_SCALARS = {
    str: DType.BYTES,
    bytes: DType.BYTES,
    bool: DType.BOOL,
    int: DType.INT64,
    float: DType.FP64,
}


class Field(msgspec.Struct, frozen=True):
    """One tensor of a stage, and how Python sees an element of it.

    Attributes:
        spec: the tensor's declaration.
        scalar: the Python type of one row's value; None: a numpy array per row.
        nullable: whether it is None when a request leaves it out; else its default holds.
    """

    spec: TensorSpec
    scalar: type | None
    nullable: bool = False


class StageHints(msgspec.Struct, frozen=True, dict=True):
    """What the hints of one side (parameters, or return value) of a stage say.

    Attributes:
        fields: its tensors, in order.
        style: ``items`` or ``columns``.
        item_type: the class of an item; None where an item is a bare scalar or array.
        is_mapping: columns only: whether the value is a dict of arrays.
    """

    fields: tuple[Field, ...]
    style: str
    item_type: type | None = None
    is_mapping: bool = False

    @functools.cached_property
    def nullable(self) -> frozenset[str]:
        """The tensors that are None when a request leaves them out."""
        return frozenset(field.spec.name for field in self.fields if field.nullable)


def declared_hints(fields: Sequence[TensorField]) -> StageHints | None:
    """The columns a manifest declares in place of type hints; None: it declares none."""
    if not fields:
        return None
    return StageHints(
        tuple(Field(spec_of(field), None) for field in fields), "columns", is_mapping=True
    )


def read_inputs(method: Callable[..., Any]) -> StageHints:
    """The inputs a stage's parameters declare.

    Raises:
        LoadFailed: a parameter has no hint, or one that is no tensor; names it.
    """
    hints = typing.get_type_hints(method, include_extras=True)
    names = [n for n in inspect.signature(method).parameters if n not in ("self", "parameters")]
    for name in names:
        if name not in hints:
            raise _unknown(method, f"parameter '{name}' has no type hint")
    if len(names) == 1 and get_origin(hints[names[0]]) is list:
        return _items(method, names[0], get_args(hints[names[0]])[0])
    fields = tuple(
        _column(method, name, hints[name], has_default=_has_default(method, name)) for name in names
    )
    if not fields:
        raise _unknown(method, "it takes no input")
    return StageHints(fields, "columns")


def read_outputs(method: Callable[..., Any]) -> StageHints:
    """The outputs a stage's return hint declares; a bare value is named ``output``.

    Raises:
        LoadFailed: there is no return hint, or one that is no tensor.
    """
    hint = typing.get_type_hints(method, include_extras=True).get("return")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise _unknown(method, "it streams, which this version of the server cannot serve yet")
    if hint is None:
        raise _unknown(method, "its return value has no type hint")
    if get_origin(hint) is list:
        return _items(method, "output", get_args(hint)[0])
    if typing.is_typeddict(hint):
        columns = typing.get_type_hints(hint, include_extras=True)
        fields = tuple(_column(method, name, of) for name, of in columns.items())
        return StageHints(fields, "columns", is_mapping=True)
    return StageHints((_column(method, "output", hint),), "columns")


def _items(method: Callable[..., Any], name: str, hint: Any) -> StageHints:
    hint = _without_refusal(hint)
    field = _field(name, hint)
    if field is not None:
        return StageHints((field,), "items")
    if not isinstance(hint, type) or not typing.get_type_hints(hint):
        raise _unknown(method, f"'{name}' is a list of {hint}")
    fields: list[Field] = []
    for key, of in typing.get_type_hints(hint, include_extras=True).items():
        if get_origin(of) is typing.ClassVar:
            continue
        part = _field(key, of, has_default=_has_default(hint, key))
        if part is None:
            raise _unknown(method, f"field '{key}' of {hint.__name__} is {of}")
        fields.append(part)
    return StageHints(tuple(fields), "items", item_type=hint)


def _column(
    method: Callable[..., Any], name: str, hint: Any, *, has_default: bool = False
) -> Field:
    field = _field(name, hint, has_default=has_default)
    if hint is np.ndarray:
        raise LoadFailed(
            f"cannot tell the signature from {method.__qualname__}: '{name}: np.ndarray' does not "
            f'say datatype and shape: write Rows["FP32", 64]'
        )
    if field is None or field.scalar is not None:
        is_items = get_origin(hint) is list
        told = str(hint) if is_items or not isinstance(hint, type) else hint.__name__
        scalar = get_args(hint)[0] if is_items and get_args(hint) else hint
        dtype = _SCALARS.get(scalar) if isinstance(scalar, type) else None
        if dtype is not None:
            why = (
                f'where a method takes several inputs, each is an array: write Rows["{dtype}"]'
                if is_items
                else f'it is given all rows of a batch: write Rows["{dtype}"], or list[{told}] '
                "where it is the only input"
            )
            raise LoadFailed(
                f"cannot tell the signature from {method.__qualname__}: '{name}' is {told}; {why}"
            )
        raise _unknown(method, f"'{name}' is {told}, which is no array")
    return field


def _without_refusal(hint: Any) -> Any:
    """``X | InvalidInput`` is X: an item, or why there is none."""
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    kinds = [arg for arg in get_args(hint) if arg is not InvalidInput]
    return kinds[0] if len(kinds) == 1 else hint


def _field(name: str, hint: Any, *, has_default: bool = False) -> Field | None:
    optional = has_default
    if get_origin(hint) in (typing.NotRequired, typing.Required):
        optional = get_origin(hint) is typing.NotRequired
        return _field(name, get_args(hint)[0], has_default=optional)
    if get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [arg for arg in get_args(hint) if arg is not type(None)]
        nullable = len(kinds) < len(get_args(hint))
        if len(kinds) != 1:
            return None
        field = _field(name, kinds[0], has_default=optional or nullable)
        return field and msgspec.structs.replace(field, nullable=nullable and not optional)
    if get_origin(hint) is Annotated:
        shape = next((m for m in get_args(hint) if isinstance(m, TensorHint)), None)
        if shape is None:
            return _field(name, get_args(hint)[0], has_default=optional)
        return Field(_array_spec(name, shape, optional=optional), None)
    if hint in _SCALARS:
        return Field(TensorSpec(name, _SCALARS[hint], (-1,), optional=optional), hint)
    if get_origin(hint) is np.ndarray:
        return _ndarray(name, hint, optional=optional)
    return None


def _ndarray(name: str, hint: Any, *, optional: bool) -> Field | None:
    scalar = get_args(get_args(hint)[1])
    dtype = (
        DType.from_numpy(np.dtype(scalar[0])) if scalar and isinstance(scalar[0], type) else None
    )
    if dtype is None:
        return None
    return Field(TensorSpec(name, dtype, (-1, -1), optional=optional), None)


def _array_spec(name: str, hint: TensorHint, *, optional: bool) -> TensorSpec:
    try:
        dtype = DType(hint.dtype)
    except ValueError as err:
        raise LoadFailed(
            f"'{name}' is declared as Rows[{hint.dtype!r}]; datatypes are {[str(d) for d in DType]}"
        ) from err
    return TensorSpec(name, dtype, (-1, *hint.dims), optional=optional)


def _has_default(owner: Callable[..., Any], name: str) -> bool:
    required = getattr(owner, "__required_keys__", None)  # TypedDict
    if required is not None:
        return name not in required
    parameter = inspect.signature(owner).parameters.get(name)
    return parameter is not None and parameter.default is not inspect.Parameter.empty


def _unknown(method: Callable[..., Any], what: str) -> LoadFailed:
    return LoadFailed(
        f"cannot tell the signature from {method.__qualname__}: {what}. Hint arrays as "
        "Rows['FP32', 64], items as list[str] or list of a dataclass, TypedDict or pydantic model"
    )
