"""The types of MySQL: of columns that are read, and of those that are made."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from pyarrow import types
from pymysql.constants import FIELD_TYPE, FLAG

_SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "DOUBLE",  # FLOAT would show 6 digits of it
    pa.float64(): "DOUBLE",
    pa.string(): "LONGTEXT CHARACTER SET utf8mb4",
    pa.binary(): "LONGBLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME(6)",
    pa.timestamp("us"): "DATETIME(6)",
    pa.timestamp("us", "UTC"): "DATETIME(6)",
}


def sql_type(kind: pa.DataType) -> str:
    """The SQL type of a new column."""
    is_decimal = types.is_decimal(kind)
    return f"DECIMAL({kind.precision}, {kind.scale})" if is_decimal else _SQL_TYPES[kind]


def cells(column: pa.Array) -> list[object]:
    """A column's values as the driver takes them."""
    if types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    values: list[object] = column.to_pylist()
    if types.is_floating(column.type):
        return [x if isinstance(x, float) and math.isfinite(x) else None for x in values]
    return values


_WHOLE = {
    FIELD_TYPE.TINY: (pa.int8(), pa.uint8()),
    FIELD_TYPE.SHORT: (pa.int16(), pa.uint16()),
    FIELD_TYPE.INT24: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONG: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONGLONG: (pa.int64(), pa.uint64()),
    FIELD_TYPE.YEAR: (pa.int32(), pa.int32()),
}
_OTHERS = {
    FIELD_TYPE.FLOAT: pa.float32(),
    FIELD_TYPE.DOUBLE: pa.float64(),
    FIELD_TYPE.TIMESTAMP: pa.timestamp("us", "UTC"),
    FIELD_TYPE.DATETIME: pa.timestamp("us"),
    FIELD_TYPE.DATE: pa.date32(),
    FIELD_TYPE.NEWDATE: pa.date32(),
    FIELD_TYPE.TIME: pa.duration("us"),
    FIELD_TYPE.BIT: pa.binary(),
    FIELD_TYPE.GEOMETRY: pa.binary(),
    FIELD_TYPE.JSON: pa.string(),
}
_BINARY_CHARSET = 63


def arrow_type(told: Any) -> pa.DataType:
    """The type of a column, from what the server tells of it."""
    is_unsigned = bool(told.flags & FLAG.UNSIGNED)
    if told.type_code in _WHOLE:
        return _WHOLE[told.type_code][is_unsigned]
    if told.type_code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        precision = told.length - (told.scale > 0) - (not is_unsigned)
        kind = pa.decimal128 if precision <= 38 else pa.decimal256
        return kind(precision, told.scale)
    known = _OTHERS.get(told.type_code)
    if known is not None:
        return known
    return pa.binary() if told.charsetnr == _BINARY_CHARSET else pa.string()
