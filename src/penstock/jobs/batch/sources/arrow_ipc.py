"""Arrow IPC: files (Feather 2 too), whose batches can be told apart, and streams."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.file_source import FileSource
from penstock.jobs.batch.sources.input_file import InputFile
from penstock.jobs.batch.sources.record_blocks import read_fully
from penstock.jobs.batch.sources.schemas import Fit, check_names, plain_schema
from penstock.jobs.batch.spec_inputs import ArrowInput
from penstock.jobs.batch.split import Split

_FILE_MAGIC = b"ARROW1"


class ArrowSource(FileSource):
    """Reads Arrow IPC; a split is a range of a file's record batches, or a whole stream.

    A record batch is read as one: those who write files of huge ones need the memory for it.

    Args:
        spec: which files.
        split_rows: about how many rows make a split.
    """

    def __init__(self, spec: ArrowInput, split_rows: int) -> None:
        super().__init__(spec.path, split_rows)

    def _find_schema(self, file: InputFile) -> pa.Schema:
        with self._files.open(file) as opened, _open(opened) as reader:
            found = reader.schema
        check_names(file.source, found.names)
        return plain_schema(found)

    def _cut(self, file: InputFile) -> Iterator[Split]:
        with self._files.open(file) as opened, _open(opened) as reader:
            if not _is_file(reader):
                yield Split(file.source, file.fingerprint)
                return
            count = reader.num_record_batches
            first_rows = reader.get_batch(0).num_rows if count else 0
        step = max(1, self._split_rows // max(1, first_rows))
        for start in range(0, count, step):
            yield Split(file.source, file.fingerprint, start, min(start + step, count))

    def _runs(
        self, opened: io.BufferedIOBase, split: Split, schema: pa.Schema, run_bytes: int
    ) -> Iterator[ReadRows]:
        with _open(opened) as reader:
            fit = Fit(split.source, schema, reader.schema)
            row = 0
            for batch in _batches(reader, split):
                wanted = batch.select(schema.names)
                wanted.validate(full=True)
                yield ReadRows(row, fit.apply(wanted))
                row += batch.num_rows


def _open(opened: io.BufferedIOBase) -> Any:
    is_file = read_fully(opened, len(_FILE_MAGIC)) == _FILE_MAGIC
    opened.seek(0)
    return pa.ipc.open_file(opened) if is_file else pa.ipc.open_stream(opened)


def _is_file(reader: Any) -> bool:
    return isinstance(reader, pa.ipc.RecordBatchFileReader)


def _batches(reader: Any, split: Split) -> Iterator[pa.RecordBatch]:
    if not _is_file(reader):
        yield from reader
        return
    stop = reader.num_record_batches if split.stop is None else int(split.stop)
    for number in range(int(split.start), stop):
        yield reader.get_batch(number)
