"""Decoder: the values of records become a model's tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from penstock.core.errors import ConfigError, InvalidArgument, PenstockError
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.jobs.stream.columns import Row, read_column, row_tensors
from penstock.jobs.stream.record import Record
from penstock.repository.manifest_shape import describe, nearest

Columns: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Model input <- field, or fields side by side; an input that is not named: the field so called."""

ReadRows: TypeAlias = Callable[[Record], Any]
"""A user's own: one mapping of fields to values, or a list of them; raises to refuse a record."""

_parse: Final = msgspec.json.Decoder().decode


class Group(msgspec.Struct, frozen=True):
    """Records whose rows have the same shapes, as tensors.

    Attributes:
        records: where they stand in the micro-batch.
        counts: how many rows each of them has, at least one.
        inputs: their rows, one record's below the other's.
    """

    records: Sequence[int]
    counts: Sequence[int]
    inputs: tuple[Tensor, ...]


class Decoded(msgspec.Struct):
    """A micro-batch, read.

    Attributes:
        groups: the records that can be predicted, each in one of them.
        rows: by record, the rows as they came; a list: there may be any number of them.
        bad: the others, and why.
    """

    groups: list[Group]
    rows: list[Row | list[Row] | None]
    bad: dict[int, PenstockError]


class Decoder:
    """Reads micro-batches: one JSON object per record, or a list of them.

    Law: each record is in one group, or bad; never both. A bad one changes nothing for the others.

    Args:
        columns: which fields the inputs take.
        read_rows: a user's own reading of one record; None: JSON.
    """

    def __init__(self, columns: Columns, read_rows: ReadRows | None = None) -> None:
        self._columns = {
            name: (fields,) if isinstance(fields, str) else tuple(fields)
            for name, fields in columns.items()
        }
        self._read_rows = read_rows

    def decode(self, records: Sequence[Record], signature: ModelSignature) -> Decoded:
        """Read these records for a model of this signature.

        Raises:
            ConfigError: ``columns`` names an input that the model does not have, or the model
                does not batch.
        """
        self._check(signature)
        decoded = Decoded([], [None] * len(records), {})
        for position, record in enumerate(records):
            try:
                decoded.rows[position] = self._read(record)
            except PenstockError as err:
                decoded.bad[position] = err
        good = [p for p, rows in enumerate(decoded.rows) if rows is not None]
        if good:
            group = self._together(good, decoded, signature)
            decoded.groups = [group] if group else self._one_by_one(good, decoded, signature)
        return decoded

    def _check(self, signature: ModelSignature) -> None:
        if not signature.batched:
            raise ConfigError(
                "model: it does not batch, so that a record has no row in its inputs; give its "
                "inputs and outputs a first dimension for rows"
            )
        for name in self._columns:
            if signature.input(name) is None:
                hint = nearest(name, [spec.name for spec in signature.inputs])
                raise ConfigError(f"columns: the model has no input '{name}': {hint}")

    def _read(self, record: Record) -> Row | list[Row]:
        """One record's rows.

        Raises:
            InvalidArgument: they cannot be read.
        """
        if self._read_rows is not None:
            return _checked(_called(self._read_rows, record))
        if record.no_value:
            raise InvalidArgument(record.no_value)
        if not record.value:
            raise InvalidArgument("its value is empty: expected a JSON object")
        try:
            value = _parse(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise InvalidArgument(f"its value is not JSON: {err}") from err
        return _checked(value)

    def _together(
        self, good: Sequence[int], decoded: Decoded, signature: ModelSignature
    ) -> Group | None:
        """All of them as one group, the fast way; None: something does not fit."""
        counts = [len(r) if isinstance(r := decoded.rows[p], list) else 1 for p in good]
        rows: list[Row] = []
        for position in good:
            value = decoded.rows[position]
            rows += value if isinstance(value, list) else (value,)  # type: ignore[arg-type]
        inputs = []
        for spec in signature.inputs:
            fields = self._columns.get(spec.name, (spec.name,))
            if spec.optional and not any(fields[0] in row for row in rows):
                continue
            tensor = read_column(rows, spec, fields)
            if tensor is None:
                return None
            inputs.append(tensor)
        return Group(good, counts, tuple(inputs))

    def _one_by_one(
        self, good: Sequence[int], decoded: Decoded, signature: ModelSignature
    ) -> list[Group]:
        """Those that fit, by the shapes of their rows; the others become bad."""
        alike: dict[tuple[Any, ...], list[tuple[int, tuple[Tensor, ...]]]] = {}
        for position in good:
            rows = decoded.rows[position]
            listed = rows if isinstance(rows, list) else [rows]
            try:
                tensors = row_tensors(listed, signature, self._columns)  # type: ignore[arg-type]
            except PenstockError as err:
                decoded.bad[position] = err
                continue
            key = tuple((tensor.name, tensor.shape[1:]) for tensor in tensors)
            alike.setdefault(key, []).append((position, tensors))
        return [_grouped(members) for members in alike.values()]


def _checked(value: Any) -> Row | list[Row]:
    """Rows as they have to be.

    Raises:
        InvalidArgument: they are not.
    """
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple) and value and all(isinstance(r, Mapping) for r in value):
        return [dict(row) for row in value]
    if value in ([], ()):
        got = "an empty list"
    elif value is None or isinstance(value, str | int | float | list | tuple):
        got = describe(value)
    else:  # of a user's own reading
        got = f"{type(value).__name__}: {repr(value)[:60]}"
    raise InvalidArgument(f"its value: expected a JSON object or a list of objects, got {got}")


def _called(read_rows: ReadRows, record: Record) -> Any:
    try:
        return read_rows(record)
    except PenstockError:
        raise
    except Exception as err:  # a user's code raises what it likes
        raise InvalidArgument(f"decode raised {type(err).__name__}: {err}") from err


def _grouped(members: list[tuple[int, tuple[Tensor, ...]]]) -> Group:
    first = members[0][1]
    inputs = tuple(
        Tensor(t.name, t.dtype, np.concatenate([tensors[i].array for _, tensors in members]))
        for i, t in enumerate(first)
    )
    counts = [tensors[0].shape[0] for _, tensors in members]
    return Group([position for position, _ in members], counts, inputs)
