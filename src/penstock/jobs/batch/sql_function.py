"""SqlFunction: one SELECT over rows, by DuckDB."""

from __future__ import annotations

import pyarrow as pa

from penstock.core.errors import ConfigError

_TABLE = "batch"


class SqlFunction:
    """Runs a query over a batch, which it sees as the table ``batch``. One thread at a time.

    Args:
        sql: one SELECT.

    Raises:
        ConfigError: DuckDB is not installed, or it is not one SELECT.
    """

    def __init__(self, sql: str) -> None:
        try:
            import duckdb
        except ImportError as err:
            raise ConfigError("transform.sql needs DuckDB: pip install 'penstock[duckdb]'") from err
        self._database = duckdb.connect(config={"threads": 1})
        try:
            statements = self._database.extract_statements(sql)
        except duckdb.Error as err:
            raise ConfigError(f"transform.sql: {str(err).partition(chr(10))[0]}") from err
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("transform.sql: expected one SELECT over the table 'batch'")
        self._sql = sql

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        """The query's rows, in its order."""
        self._database.register(_TABLE, batch)
        try:
            return self._database.sql(self._sql).to_arrow_table()
        finally:
            self._database.unregister(_TABLE)

    def close(self) -> None:
        """Close the database, which is in memory."""
        self._database.close()
