"""AppliedFunction: a function over rows as a transform, and the check of what it gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.core.errors import JobInputError
from penstock.core.tensor import Array

ROW = "__row__"
"""The column that tells which row of the split each row is."""


class AppliedFunction:
    """Calls a function, and sees that it gave rows of the batch; see ``Transform``.

    Args:
        name: what messages call it.
        function: takes a record batch with the column ``__row__``; gives rows.
        digest: of what it does.
        close: gives back what it holds.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        digest: str,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.digest = digest
        self._close = close
        self._name = name
        self._function = function

    def apply(self, batch: pa.RecordBatch, numbers: Array) -> tuple[pa.RecordBatch, Array]:
        """See ``Transform``."""
        numbers = np.asarray(numbers, dtype=np.int64)
        if ROW in batch.schema.names:
            raise JobInputError(f"column '{ROW}': the name is taken by {self._name}; rename it")
        given = batch.append_column(ROW, pa.array(numbers))
        try:
            changed = _as_batch(self._function(given))
        except Exception as err:
            told = str(err).strip().partition("\n")[0]
            raise JobInputError(
                f"{self._name} raised {type(err).__name__}: {told} (rows {_range(numbers)})"
            ) from err
        return self._checked(changed, numbers)

    def close(self) -> None:
        """See ``Transform``."""
        if self._close is not None:
            self._close()

    def _checked(self, changed: pa.RecordBatch, numbers: Array) -> tuple[pa.RecordBatch, Array]:
        if ROW not in changed.schema.names:
            if changed.num_rows != len(numbers):
                raise JobInputError(
                    f"{self._name}: expected {len(numbers)} rows, got {changed.num_rows}; to leave "
                    f"rows out, pass the column '{ROW}' on"
                )
            return changed, numbers
        left = self._numbers(changed.column(ROW), numbers)
        changed = changed.drop_columns([ROW])
        order = np.argsort(left, kind="stable")
        if (np.diff(order) < 0).any():
            changed, left = changed.take(pa.array(order)), left[order]
        return changed, left

    def _numbers(self, column: pa.Array, numbers: Array) -> Array:
        """Which rows are left, each once.

        Raises:
            JobInputError: they are not rows of the batch, or some are there twice.
        """
        if not column.null_count and pa.types.is_integer(column.type):
            left: Array = column.to_numpy(zero_copy_only=False).astype(np.int64)
            if len(np.unique(left)) == len(left) and np.isin(left, numbers).all():
                return left
        raise JobInputError(
            f"{self._name}: the column '{ROW}' has to hold numbers that were given, each once at "
            "most: one row makes one row, or none"
        )


def _as_batch(result: Any) -> pa.RecordBatch:
    """What a function gave as one batch; of two columns of one name the later stands."""
    if not isinstance(result, pa.RecordBatch):
        table = pa.table(result).replace_schema_metadata(None).combine_chunks()
        result = (table.to_batches() or [_empty(table.schema)])[0]
    last = {name: place for place, name in enumerate(result.schema.names)}
    return result if len(last) == result.num_columns else result.select(sorted(last.values()))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _range(numbers: Array) -> str:
    return f"{numbers[0]} to {numbers[-1]} of the split" if len(numbers) else "none"
