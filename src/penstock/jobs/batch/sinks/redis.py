"""RedisSink: a value in Redis for each row, where the prediction store finds it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pyarrow as pa
from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.sink import PartWriter, Receipt
from penstock.jobs.batch.spec_tables import RedisOutput
from penstock.stores.connection_fault import connection_fault
from penstock.stores.prediction_store import prediction_key
from penstock.stores.store_url import StoreUrl

_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 60.0
_COLUMN = re.compile(r"\{([^{}]+)\}")
_BUSY = re.compile(r"\bBUSY\b")  # with a script; the library has no class for it
_WHOLE = "_SUCCESS"
_LOGIN = (exceptions.AuthenticationError, exceptions.NoPermissionError)
_PASSING = (exceptions.ReadOnlyError, exceptions.TryAgainError, exceptions.ClusterDownError)


class RedisSink:
    """A ``BatchSink`` of Redis.

    A split is one transaction (MULTI, EXEC): all its keys and the note that it is there, in the
    hash ``penstock:parts:<template of the key>``, or nothing. Laws: to write a split once more
    writes the same keys; of rows of one key the last one of a split is kept, and of several splits
    that of the one committed last. What expires, or is evicted, is gone although ``holds`` says
    that it was written.

    Args:
        address: where Redis is.
        spec: what is written.
    """

    def __init__(self, address: StoreUrl, spec: RedisOutput) -> None:
        self._name = str(address)
        self._address = address
        self._spec = spec
        self._template = Template(spec.key)
        self._notes = f"penstock:parts:{spec.model}:{spec.version}:{spec.key}"
        self._client = _client(address)

    def open(self, split_id: str, schema: pa.Schema) -> PartWriter:
        """See ``BatchSink.open``."""
        columns = self._spec.columns or tuple(schema.names)
        for name in (*self._template.columns, *columns):
            if name not in schema.names:
                raise ConfigError(
                    f"output: there is no column '{name}' in what is written, which has "
                    f"{schema.names}; name it in 'keep'"
                )
        with self.translated():
            return _RedisPart(self, self._client.pipeline(transaction=True), split_id, columns)

    def holds(self, split_id: str, receipt: Receipt) -> bool:
        """See ``BatchSink.holds``."""
        with self.translated():
            return self._client.hget(self._notes, split_id) == str(receipt.rows).encode()

    def begin(self) -> None:
        """See ``BatchSink.begin``. What dead writers have sent was never executed."""
        with self.translated():
            self._client.hdel(self._notes, _WHOLE)

    def finish(self, summary: bytes) -> None:
        """See ``BatchSink.finish``: the field ``_SUCCESS`` of the hash of splits."""
        with self.translated():
            self._client.hset(self._notes, _WHOLE, summary)

    def close(self) -> None:
        """See ``BatchSink.close``."""
        self._client.close()

    def key(self, row: dict[str, Any], at: int) -> str:
        """The key of a row.

        Raises:
            JobOutputError: a column of the key is null; names row ``at`` of the split.
        """
        text = self._template.fill(row, at)
        if not self._spec.model:
            return text
        return prediction_key(self._spec.model, self._spec.version, text.encode())

    def value(self, row: dict[str, Any], columns: Sequence[str]) -> bytes:
        """The value of a row."""
        if self._spec.encoding == "msgpack":
            return msgspec.msgpack.encode([row[name] for name in columns], enc_hook=str)
        return msgspec.json.encode({name: row[name] for name in columns}, enc_hook=str)

    def note(self, pipeline: Pipeline, split_id: str, rows: int) -> None:
        """Have a transaction note that a split is there."""
        pipeline.hset(self._notes, split_id, str(rows))

    @property
    def ttl_ms(self) -> int | None:
        """Milliseconds until a row expires; None: never."""
        return None if self._spec.ttl_s is None else max(1, int(self._spec.ttl_s * 1000))

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except _LOGIN as err:
            raise self._error("refuses the login, or what it may do") from err
        except exceptions.OutOfMemoryError as err:
            raise self._error("is full", retryable=True) from err
        except (exceptions.TimeoutError, TimeoutError) as err:
            raise self._error("does not answer in time", retryable=True) from err
        except (exceptions.ConnectionError, OSError) as err:
            text = connection_fault(err) or "the connection is lost"
            raise self._error(text, retryable=True) from err
        except exceptions.RedisError as err:
            passes = isinstance(err, _PASSING) or _BUSY.search(str(err)) is not None
            raise self._error(self._masked(err), retryable=passes) from err

    def _masked(self, err: Exception) -> str:
        text = (str(err).splitlines() or [type(err).__name__])[0][:200]
        password = self._address.password
        return text.replace(password, "***") if password else text

    def _error(self, text: str, *, retryable: bool = False) -> JobOutputError:
        return JobOutputError(f"output: {self._name}: {text}", retryable=retryable)


class _RedisPart:
    """A ``PartWriter``: commands wait here until the commit sends them as one transaction."""

    def __init__(
        self, sink: RedisSink, pipeline: Pipeline, split_id: str, columns: Sequence[str]
    ) -> None:
        self._sink = sink
        self._pipeline = pipeline
        self._split_id = split_id
        self._columns = columns
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """See ``PartWriter.write``."""
        for row in batch.to_pylist():
            key = self._sink.key(row, self._rows)
            value = self._sink.value(row, self._columns)
            self._pipeline.set(key, value, px=self._sink.ttl_ms)
            self._rows += 1

    def commit(self) -> Receipt:
        """See ``PartWriter.commit``."""
        self._sink.note(self._pipeline, self._split_id, self._rows)
        with self._sink.translated():
            self._pipeline.execute()
        return Receipt(self._rows)

    def abort(self) -> None:
        """See ``PartWriter.abort``."""
        self._pipeline.reset()


class Template:
    """A key with columns in braces: ``tweet:{id}``.

    Attributes:
        columns: those that it names.

    Raises:
        ConfigError: it names none: all rows would have one key.
    """

    def __init__(self, text: str) -> None:
        self.columns = tuple(_COLUMN.findall(text))
        self._text = text
        if not self.columns:
            raise ConfigError(
                f"output: key: expected columns in braces: tweet:{{id}}, got {text!r}"
            )

    def fill(self, row: dict[str, Any], at: int) -> str:
        """The key of a row; ``at`` is its number within its split, for errors.

        Raises:
            JobOutputError: one of its columns is null.
        """
        for name in self.columns:
            if row[name] is None:
                raise JobOutputError(
                    f"output: the key's column '{name}' is null in row {at} of the split: a row "
                    f"without a key cannot be found again"
                )
        return _COLUMN.sub(lambda match: str(row[match[1]]), self._text)


def _client(address: StoreUrl) -> Redis:
    """A client that connects with its first command, and tries nothing twice."""
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "protocol": 2,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "socket_timeout": _ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.scheme == "unix":
        return Redis(unix_socket_path=address.path, **options)
    return Redis(host=address.host, port=address.port, ssl=address.scheme == "rediss", **options)
