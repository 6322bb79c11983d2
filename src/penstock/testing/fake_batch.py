"""A batch job in memory: a source, a sink and a model for the tests of engines and sources."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.source import BadRow, ReadRows
from penstock.jobs.batch.split import Split
from penstock.jobs.predictor import ModelIdentity
from penstock.runtime.executable import ExecuteResult

DOUBLING = ModelSignature(
    inputs=(TensorSpec("x", DType.FP64, (-1,)),),
    outputs=(TensorSpec("y", DType.FP64, (-1,)), TensorSpec("batch_rows", DType.INT64, (-1,))),
)
"""``y`` is ``2 x``; ``batch_rows`` tells with how many rows it was computed."""


class FakeSource:
    """Tables by name, cut into splits; a ``BatchSource``.

    Args:
        tables: rows, all of one schema.
        split_rows: rows of a split.
        bad_rows: rows that cannot be read, by table and number in it.
        faults: what reads raise, in order, each before the piece it stands for; None: nothing.

    Attributes:
        num_reads: pieces that were given.
    """

    def __init__(
        self,
        tables: Mapping[str, pa.Table],
        split_rows: int = 100,
        *,
        bad_rows: Collection[tuple[str, int]] = (),
        faults: Iterable[BaseException | None] = (),
    ) -> None:
        self.num_reads = 0
        self._tables = tables
        self._split_rows = split_rows
        self._bad_rows = frozenset(bad_rows)
        self._faults = iter(faults)

    def schema(self) -> pa.Schema:
        """That of the tables."""
        return next(iter(self._tables.values())).schema

    def only(self, columns: Collection[str]) -> FakeSource:
        """The same tables, with these columns alone."""
        kept = [name for name in self.schema().names if name in columns]
        tables = {name: table.select(kept) for name, table in self._tables.items()}
        return FakeSource(tables, self._split_rows, bad_rows=self._bad_rows, faults=self._faults)

    def plan(self) -> Iterator[Split]:
        """One split at least for each table."""
        for name, table in self._tables.items():
            for start in range(0, max(table.num_rows, 1), self._split_rows):
                stop = min(start + self._split_rows, table.num_rows)
                yield Split(name, f"{table.num_rows} rows", start, stop)

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """Pieces of at most ``max_rows`` rows; one of no rows, where the split has none."""
        del max_bytes
        first, stop = int(split.start), int(split.stop or 0)
        for start in range(first, max(stop, first + 1), max_rows):
            fault = next(self._faults, None)
            if fault is not None:
                raise fault
            self.num_reads += 1
            yield self._piece(split.source, first, start, min(start + max_rows, stop))

    def _piece(self, name: str, first: int, start: int, stop: int) -> ReadRows:
        bad = [row for row in range(start, stop) if (name, row) in self._bad_rows]
        good = [row for row in range(start, stop) if row not in bad]
        batch = pa.RecordBatch.from_struct_array(
            self._tables[name].to_struct_array().combine_chunks().take(pa.array(good, pa.int64()))
        )
        told = [
            BadRow(row - first, InvalidArgument("not a row"), f"raw {row}".encode()) for row in bad
        ]
        return ReadRows(start - first, batch, told)

    def close(self) -> None:
        """Nothing is held."""


class FakeSink:
    """Keeps parts in memory; a ``BatchSink``.

    Args:
        faults: what a call raises, by the method's name, in the order of its calls; None: nothing.

    Attributes:
        parts: what is there, by split id.
        summary: what ``finish`` was given; None: the output is not whole.
        num_open: parts that were begun, and neither committed nor aborted.
    """

    def __init__(self, faults: Mapping[str, Iterable[BaseException | None]] | None = None) -> None:
        self.parts: dict[str, pa.Table] = {}
        self.summary: bytes | None = None
        self.num_open = 0
        self._faults = {name: iter(script) for name, script in (faults or {}).items()}

    def open(self, split_id: str, schema: pa.Schema) -> _FakePart:
        """Begin a part."""
        self.step("open")
        self.num_open += 1
        return _FakePart(self, split_id, schema)

    def holds(self, split_id: str, receipt: Receipt) -> bool:
        """Whether the part is there, with as many rows."""
        part = self.parts.get(split_id)
        return part is not None and part.num_rows == receipt.rows

    def begin(self) -> None:
        """The output is not whole any more."""
        self.step("begin")
        self.summary = None

    def finish(self, summary: bytes) -> None:
        """The output is whole."""
        self.step("finish")
        self.summary = summary

    def part_ids(self) -> Iterable[str]:
        """Those that are there."""
        return list(self.parts)

    def close(self) -> None:
        """Nothing is held."""

    def step(self, name: str) -> None:
        """Raise what the script says next."""
        fault = next(self._faults.get(name, iter(())), None)
        if fault is not None:
            raise fault


class _FakePart:
    def __init__(self, sink: FakeSink, split_id: str, schema: pa.Schema) -> None:
        self._sink = sink
        self._split_id = split_id
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._sink.step("write")
        self._batches.append(batch)

    def commit(self) -> Receipt:
        """Have the part there."""
        self._sink.step("commit")
        table = pa.Table.from_batches(self._batches, self._schema)
        self._sink.parts[self._split_id] = table
        self._sink.num_open -= 1
        return Receipt(table.num_rows, table.nbytes)

    def abort(self) -> None:
        """Forget it."""
        self._sink.num_open -= 1


class FakePredictors:
    """A model of ``DOUBLING``; ``Predictors``.

    Args:
        poison: values of ``x`` for which it raises, whatever stands beside them.
        refused: values of ``x`` that it refuses, and answers the others.
        faults: what predictions raise, in order, all copies together; None: nothing.
        before: called before each prediction, with its rows.
        digest: of the model.

    Attributes:
        batches: how many rows each prediction had, failures included.
        num_open: copies that are open.
    """

    signature = DOUBLING

    def __init__(
        self,
        *,
        poison: Collection[float] = (),
        refused: Collection[float] = (),
        faults: Iterable[BaseException | None] = (),
        before: Callable[[int], None] | None = None,
        digest: str = "d1",
    ) -> None:
        self.identity = ModelIdentity("double", 1, digest)
        self.poison = set(poison)
        self.refused = set(refused)
        self.batches: list[int] = []
        self.num_open = 0
        self.before = before
        self._faults = iter(faults)
        self._lock = threading.Lock()

    def open(self) -> FakePredictor:
        """A further copy."""
        self.num_open += 1
        return FakePredictor(self)

    def close(self) -> None:
        """Nothing is held."""

    def next_fault(self, rows: int) -> BaseException | None:
        """Count a prediction; what it raises."""
        with self._lock:
            self.batches.append(rows)
            return next(self._faults, None)


class FakePredictor:
    """A copy; a ``Predictor``."""

    def __init__(self, model: FakePredictors) -> None:
        self._model = model

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        """Twice the input, but for what the model's script says."""
        model, x = self._model, inputs[0].array
        if model.before is not None:
            model.before(len(x))
        fault = model.next_fault(len(x))
        if fault is not None:
            raise fault
        if model.poison and np.isin(x, list(model.poison)).any():
            raise ModelFailed("the model choked")
        bad = np.flatnonzero(np.isin(x, list(model.refused))) if model.refused else ()
        good = np.delete(x, bad)
        outputs = _answers(good, len(x))
        return ExecuteResult(
            outputs, {int(row): InvalidInput(int(row), "not that one") for row in bad}
        )

    def close(self) -> None:
        """One copy less."""
        self._model.num_open -= 1


def numbers_table(start: int, stop: int) -> pa.Table:
    """Rows ``id`` and ``x``, both counting from ``start`` up to ``stop``."""
    numbers = np.arange(start, stop)
    return pa.table({"id": numbers, "x": numbers.astype(np.float64)})


def _answers(x: Array, batch_rows: int) -> tuple[Tensor, ...]:
    counts = np.full(len(x), batch_rows, dtype=np.int64)
    return (Tensor("y", DType.FP64, x * 2), Tensor("batch_rows", DType.INT64, counts))
