"""Parquet files: row groups, and ranges of rows where row groups are huge."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.file_source import FileSource
from penstock.jobs.batch.sources.input_file import InputFile
from penstock.jobs.batch.sources.schemas import Fit, check_names, plain_schema
from penstock.jobs.batch.spec_inputs import ParquetInput
from penstock.jobs.batch.split import Split

_PAGE_BUFFER_BYTES = 1024 * 1024
"""What is read at once of a column: its chunk is never held as a whole."""

_HUGE = 16
_RANGES = 4
_BATCH_ROWS = 65536
_PROBE_ROWS = 64


class ParquetSource(FileSource):
    """Reads Parquet; a split is a range of rows of a file.

    Whole row groups make a split, until it has ``split_rows``. A row group 16 times as large is
    cut into 4 ranges, and no more: a range is reached by decoding what is before it.

    Args:
        spec: which files.
        split_rows: about how many rows make a split.
    """

    def __init__(self, spec: ParquetInput, split_rows: int) -> None:
        super().__init__(spec.path, split_rows)

    def _find_schema(self, file: InputFile) -> pa.Schema:
        with self._files.open(file) as opened, _open(opened) as parquet:
            found = parquet.schema_arrow
        check_names(file.source, found.names)
        return plain_schema(found)

    def _cut(self, file: InputFile) -> Iterator[Split]:
        with self._files.open(file) as opened, _open(opened) as parquet:
            counts = _rows_of_groups(parquet.metadata)
        start = stop = 0
        for rows in counts:
            if rows > _HUGE * self._split_rows:
                if start < stop:
                    yield Split(file.source, file.fingerprint, start, stop)
                yield from _ranges(file, stop, rows)
                start = stop = stop + rows
                continue
            stop += rows
            if stop - start >= self._split_rows:
                yield Split(file.source, file.fingerprint, start, stop)
                start = stop
        if start < stop:
            yield Split(file.source, file.fingerprint, start, stop)

    def _runs(
        self, opened: io.BufferedIOBase, split: Split, schema: pa.Schema, run_bytes: int
    ) -> Iterator[ReadRows]:
        with _open(opened) as parquet:
            fit = Fit(split.source, schema, parquet.schema_arrow)
            counts = _rows_of_groups(parquet.metadata)
            start, stop = int(split.start), sum(counts) if split.stop is None else int(split.stop)
            groups, before = _groups_of(counts, start, stop)
            at = before
            batches = parquet.iter_batches(
                batch_size=_rows_at_once(parquet, groups, schema.names, run_bytes),
                row_groups=groups,
                columns=schema.names,
            )
            for batch in batches:
                first, last = max(start, at), min(stop, at + batch.num_rows)
                if first < last:
                    part = batch.slice(first - at, last - first)
                    part.validate(full=True)
                    yield ReadRows(first - start, fit.apply(part))
                at += batch.num_rows
                if at >= stop:
                    return


def _open(opened: io.BufferedIOBase) -> Any:
    return pq.ParquetFile(
        opened,
        buffer_size=_PAGE_BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
    )


def _rows_of_groups(metadata: Any) -> list[int]:
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _ranges(file: InputFile, first: int, rows: int) -> Iterator[Split]:
    """A huge row group, cut."""
    cuts = [first + rows * part // _RANGES for part in range(_RANGES + 1)]
    for start, stop in pairwise(cuts):
        yield Split(file.source, file.fingerprint, start, stop)


def _groups_of(counts: list[int], start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold rows ``[start, stop)``, and the number of the first one's first."""
    groups: list[int] = []
    before = at = 0
    for group, rows in enumerate(counts):
        if at < stop and at + rows > start:
            before = at if not groups else before
            groups.append(group)
        at += rows
    return groups, before


def _rows_at_once(parquet: Any, groups: list[int], names: list[str], run_bytes: int) -> int:
    """How many rows are about so many bytes, by their size in the file and by the first ones: a
    dictionary hides how large values are.
    """
    told = [parquet.metadata.row_group(group) for group in groups]
    row_bytes = max((one.total_byte_size // max(1, one.num_rows) for one in told), default=1)
    first = parquet.iter_batches(batch_size=_PROBE_ROWS, row_groups=groups[:1], columns=names)
    for batch in islice(first, 1):
        row_bytes = max(row_bytes, batch.nbytes // max(1, batch.num_rows))
    return int(max(1, min(_BATCH_ROWS, run_bytes // max(1, row_bytes))))
