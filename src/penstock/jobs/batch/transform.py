"""Transform: rows as they were read to rows as the model takes them, by Python or by SQL."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.core.errors import ConfigError
from penstock.core.tensor import Array

if TYPE_CHECKING:
    import pyarrow as pa


class TransformSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done to rows before they are predicted; one of both, or nothing.

    Attributes:
        python: ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``: takes a ``pyarrow.RecordBatch`` and
            gives one, or anything that ``pyarrow.table`` takes.
        sql: one SELECT, in DuckDB's SQL, over the table ``batch``. Of two columns of one name the
            later stands.
    """

    python: str = ""
    sql: str = ""


class Transform(Protocol):
    """Blocks; one thread at a time, each worker opens its own."""

    @property
    def digest(self) -> str:
        """sha256 (hex) of what it does: another one, another output. "": it does nothing."""
        ...

    def apply(self, batch: pa.RecordBatch, numbers: Array) -> tuple[pa.RecordBatch, Array]:
        """Change the columns of rows, or leave rows out.

        Law: what becomes of a row must not depend on the rows beside it: how rows are cut into
        batches is not the same each time.

        Args:
            batch: rows of a split.
            numbers: the number of each within its split, int64, ascending.

        Returns:
            the rows that are left, without ``__row__``, and their numbers, ascending.

        Raises:
            JobInputError: it raised, or gave something else than rows of the batch.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def open_transform(spec: TransformSpec | None, folder: Path | None = None) -> Transform:
    """Make a transform ready.

    Args:
        spec: what to do; None, or neither field: rows stay as they are.
        folder: where a relative ``FILE.py`` is; None: the working folder.

    Raises:
        ConfigError: both fields are set, there is no such function, or a package is missing.
    """
    if spec is None or not (spec.python or spec.sql):
        return _Unchanged()
    if spec.python and spec.sql:
        raise ConfigError("transform: 'python' and 'sql' are both set; keep one of them")
    from penstock.jobs.batch.applied_function import AppliedFunction
    from penstock.jobs.batch.sql_function import SqlFunction
    from penstock.jobs.batch.user_function import load_function

    if spec.sql:
        digest = hashlib.sha256(f"sql {spec.sql}".encode()).hexdigest()
        sql = SqlFunction(spec.sql)
        return AppliedFunction("transform.sql", sql, digest, sql.close)
    function, digest = load_function(spec.python, folder or Path())
    return AppliedFunction(f"transform {spec.python}", function, digest)


class _Unchanged:
    """Leaves rows as they are."""

    digest = ""

    def apply(self, batch: pa.RecordBatch, numbers: Array) -> tuple[pa.RecordBatch, Array]:
        """See ``Transform``."""
        return batch, numbers

    def close(self) -> None:
        """Nothing is held."""
