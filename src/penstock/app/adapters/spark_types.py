"""Arrow types that Spark has, in the place of those that it has not. Pure."""

from __future__ import annotations

import pyarrow as pa

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
}


def spark_arrow_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that Spark can read, to which one of ours is cast without a loss: unsigned
    integers become wider ones, lists of a fixed length become lists.
    """
    return pa.schema([pa.field(field.name, _spark_type(field.type)) for field in schema])


def _spark_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_spark_type(kind.value_type))
    return _WIDER.get(kind, kind)
