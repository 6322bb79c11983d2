"""RowGroups: cuts rows into groups that depend on nothing but the rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.core.tensor import Array

_OTHER_BYTES = 16


class RowGroups:
    """Collects rows until they make a group.

    Law: the same rows make the same groups, in whatever batches they come; a group ends with the
    row that fills it. So the bytes of a file do not depend on the size of batches.

    Args:
        max_rows: of a group.
        max_bytes: about what a group holds; its last row goes beyond it.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._parts: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Add rows; gives the groups that are full, each of one piece."""
        ends = np.cumsum(row_bytes(batch))
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            filling = int(np.searchsorted(ends, self._max_bytes - self._bytes + before)) + 1
            stop = min(start + self._max_rows - self._rows, filling, batch.num_rows)
            self._parts.append(batch.slice(start, stop - start))
            self._rows += stop - start
            self._bytes += int(ends[stop - 1]) - before
            start = stop
            if self._rows == self._max_rows or self._bytes >= self._max_bytes:
                yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        """The rows that are left as a last group, if there are any."""
        if self._parts:
            group = pa.concat_batches(self._parts)
            self._parts, self._rows, self._bytes = [], 0, 0
            yield group


def row_bytes(batch: pa.RecordBatch) -> Array:
    """About how many bytes each row holds, int64: a function of the row alone."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        total += _bytes(column)
    return total


def _bytes(values: pa.Array) -> Array | int:
    """About how many bytes each value holds."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return _bytes(values.storage)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if is_list or pa.types.is_fixed_size_list(kind):
        return _list_bytes(values)
    if is_of_bytes(kind):
        lengths: Array = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
        return lengths
    if pa.types.is_struct(kind):
        return sum((_bytes(child) for child in values.flatten()), start=_OTHER_BYTES)
    return max(kind.bit_width // 8, 1) if pa.types.is_primitive(kind) else _OTHER_BYTES


def is_of_bytes(kind: pa.DataType) -> bool:
    """Whether values are text or binary, each of its own length."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _list_bytes(values: pa.Array) -> Array:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    lengths = np.where(values.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    items = values.flatten()
    each = np.broadcast_to(np.asarray(_bytes(items), dtype=np.int64), (len(items),))
    ends = np.concatenate([[0], np.cumsum(each)])
    stops = np.cumsum(lengths)
    found: Array = ends[stops] - ends[stops - lengths]
    return found
