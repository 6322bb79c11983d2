"""Types of columns: as a job names them, as files have them, and how one becomes another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.types as kinds

from penstock.core.errors import ConfigError, JobInputError
from penstock.repository.manifest_shape import nearest

_NAMES = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bool", "string", "binary", "date32"),
    *("timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]"),
)
"""The types that a job may name, and lists of them."""

_LIST = re.compile(r"list<(.+)>")
_ALIASES: Mapping[str, str] = {"float16": "halffloat", "float32": "float", "float64": "double"}


def types_of(told: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The types that a job names.

    Args:
        told: names of types by column.

    Raises:
        ConfigError: a type that is not known; names the column.
    """
    return {column: _type_of(column, name.strip()) for column, name in told.items()}


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns without a library's metadata, and with values for dictionaries' entries."""
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])


def check_names(source: str, names: Iterable[str]) -> None:
    """Raise JobInputError where a file has two columns of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise JobInputError(f"{source}: two columns are called {name!r}")
        seen.add(name)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one batch; copies only where it is of several chunks."""
    batches = table.to_batches()
    if len(batches) == 1:
        return batches[0]
    return pa.concat_batches(batches) if batches else empty_batch(table.schema)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """No row of that schema."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


class Fit:
    """Brings one file's batches to a job's schema.

    Numbers may be of another width or kind, as long as each value stays what it is; text, bytes,
    lists and times may be of another layout or a finer unit; a column of nulls may be of any type.

    Args:
        source: the file, for messages.
        wanted: the schema that reads give.
        found: the file's own.

    Raises:
        JobInputError: the file lacks a column, has it twice, or of a type that does not fit.
    """

    def __init__(self, source: str, wanted: pa.Schema, found: pa.Schema) -> None:
        self._source = source
        self._wanted = wanted
        for field in wanted:
            places = found.get_all_field_indices(field.name)
            if not places:
                hint = nearest(field.name, found.names) if found.names else "it has none"
                raise JobInputError(
                    f"{source}: column {field.name!r} is missing, which the first file has; {hint}"
                )
            check_names(source, [field.name] * len(places))
            if not fits(found.field(places[0]).type, field.type):
                raise JobInputError(
                    f"{source}: column {field.name!r}: expected {field.type} as in the first file, "
                    f"got {found.field(places[0]).type}"
                )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The wanted columns of the wanted types.

        Raises:
            JobInputError: a value does not fit the column's type; names the column.
        """
        columns = [self._cast(batch.column(field.name), field) for field in self._wanted]
        return pa.RecordBatch.from_arrays(columns, schema=self._wanted)

    def _cast(self, column: pa.Array, field: pa.Field) -> pa.Array:
        if column.type == field.type:
            return column
        try:
            return column.cast(field.type, safe=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
            raise JobInputError(
                f"{self._source}: column {field.name!r}: {column.type} does not become "
                f"{field.type} as in the first file: {str(err)[:200]}"
            ) from err


def fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of a type may stand for those of another; each value is still looked at."""
    if found == wanted or kinds.is_null(found):
        return True
    if kinds.is_dictionary(found):
        return fits(found.value_type, wanted)
    if _is_list(found) and _is_list(wanted):
        return fits(found.value_type, wanted.value_type)
    if kinds.is_struct(found) and kinds.is_struct(wanted):
        return [f.name for f in found] == [w.name for w in wanted] and all(
            fits(f.type, w.type) for f, w in zip(found, wanted, strict=True)
        )
    if kinds.is_timestamp(wanted):
        same_zone = kinds.is_timestamp(found) and found.tz == wanted.tz
        return same_zone or (kinds.is_date(found) and wanted.tz is None)
    families = (_is_number, _is_text, _is_bytes, kinds.is_date, kinds.is_time, kinds.is_duration)
    return any(family(found) and family(wanted) for family in families)


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    tests = (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view)
    return any(test(kind) for test in (*tests, kinds.is_fixed_size_binary))


def _is_list(kind: pa.DataType) -> bool:
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    return _plain(kind.value_type) if kinds.is_dictionary(kind) else kind


def _type_of(column: str, name: str) -> pa.DataType:
    if (match := _LIST.fullmatch(name)) is not None:
        return pa.list_(_type_of(column, match[1].strip()))
    if name not in _NAMES:
        hint = nearest(name, _NAMES)
        raise ConfigError(f"input: types.{column}: unknown type {name!r}, {hint}")
    return pa.type_for_alias(_ALIASES.get(name, name))
