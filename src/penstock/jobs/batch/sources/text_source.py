"""TextSource: files of newline-separated records, parsed block by block in C."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.compression import compression_of, unpacked
from penstock.jobs.batch.sources.encoding import Encoding
from penstock.jobs.batch.sources.file_source import BLOCK_BYTES, FileSource, damaged
from penstock.jobs.batch.sources.input_file import InputFile
from penstock.jobs.batch.sources.record_blocks import (
    Cutter,
    LineCutter,
    RecordBlocks,
    read_fully,
)
from penstock.jobs.batch.sources.schemas import check_names, empty_batch
from penstock.jobs.batch.sources.sift import REFUSALS, bad_row, sift
from penstock.jobs.batch.spec_inputs import (
    DEFAULT_INFER_ROWS,
    CsvInput,
    JsonLinesInput,
    TextInput,
)
from penstock.jobs.batch.split import Split

_SAMPLE_BYTES = 256 * 1024

Parser = Callable[[bytes, int], pa.RecordBatch]
"""Makes rows of records in UTF-8, given their number, which is >= 1; each ends with a newline, the
last one perhaps not. Law: raises one of ``REFUSALS`` unless each of them is a row by itself."""


class RecordFormat(Protocol):
    """What a record of a format is."""

    @property
    def has_header(self) -> bool:
        """Whether a file's first record has the names of its columns."""
        ...

    @property
    def cutter(self) -> Cutter:
        """Where records end."""
        ...

    def schema(self, source: str, header: str, sample: Sequence[bytes]) -> pa.Schema:
        """The columns that a file tells.

        Args:
            source: the file.
            header: its header; "": it has none.
            sample: its first records, in UTF-8, some of which may be bad.

        Raises:
            JobInputError: it tells none, or one twice.
        """
        ...

    def parser(self, source: str, header: str, whole: pa.Schema, wanted: pa.Schema) -> Parser:
        """What reads one file's records.

        Args:
            source: the file.
            header: its header; "": it has none.
            whole: all columns of the input.
            wanted: those to read.

        Raises:
            JobInputError: the file lacks a column that is wanted.
        """
        ...


class TextSource(FileSource):
    """Reads records that end with a newline; a split is a range of a file's bytes.

    Packed files, text of which ASCII is no part (UTF-16), and files whose values hold newlines are
    a split each. Empty lines are no rows.

    Args:
        spec: which files, and of what text.
        split_rows: about how many rows make a split, going by the first records of the first file.
        record_format: what a record is.

    Raises:
        ConfigError: the encoding or the path is no such thing.
    """

    def __init__(
        self,
        spec: CsvInput | JsonLinesInput | TextInput,
        split_rows: int,
        record_format: RecordFormat,
    ) -> None:
        super().__init__(spec.path, split_rows)
        self._spec = spec
        self._format = record_format
        self._encoding = Encoding(spec.encoding)
        self._split_bytes = 0

    def _find_schema(self, file: InputFile) -> pa.Schema | None:
        with closing(self._files.open(file)) as opened:
            blocks = self._blocks(file.source, opened, BLOCK_BYTES)
            header = self._header(file.source, blocks)
            sample = next((block for block in blocks.blocks(0, None) if block.data), None)
        if (self._format.has_header and not header) or not (header or sample):
            return None
        records = [] if sample is None or sample.is_too_long else self._records(sample.data)
        limit = DEFAULT_INFER_ROWS if isinstance(self._spec, TextInput) else self._spec.infer_rows
        schema = self._format.schema(file.source, header, list(self._readable(records[:limit])))
        check_names(file.source, schema.names)
        return schema

    def _cut(self, file: InputFile) -> Iterator[Split]:
        if not file.size_bytes:
            return
        if self._is_whole(file.source):
            yield Split(file.source, file.fingerprint)
            return
        if not self._split_bytes:
            row_bytes = self._first(self._row_bytes) or 1
            self._split_bytes = max(1, int(row_bytes * self._split_rows))
        for start in range(0, file.size_bytes, self._split_bytes):
            stop = min(start + self._split_bytes, file.size_bytes)
            yield Split(file.source, file.fingerprint, start, stop)

    def _row_bytes(self, file: InputFile) -> float | None:
        """How long a row is on average at the start of a file; None: it cannot tell."""
        if not file.size_bytes or self._is_whole(file.source):
            return None
        with closing(self._files.open(file)) as opened:
            head = read_fully(opened, _SAMPLE_BYTES)
        return len(head) / max(1, head.count(b"\n"))

    def _runs(
        self, opened: io.BufferedIOBase, split: Split, schema: pa.Schema, run_bytes: int
    ) -> Iterator[ReadRows]:
        blocks = self._blocks(split.source, opened, run_bytes)
        header = self._header(split.source, blocks)
        parse = self._format.parser(split.source, header, self._whole_schema(), schema)
        empty = empty_batch(schema)
        row = 0
        stop = None if split.stop is None else int(split.stop)
        for block in blocks.blocks(int(split.start), stop):
            if block.is_too_long:
                text = f"it is longer than {self._spec.max_row_bytes} bytes (max_row_bytes)"
                run = ReadRows(row, empty, [bad_row(row, text, block.data)])
            else:
                run = self._run(block.data, row, parse, empty)
            row += run.num_rows
            yield run

    def _run(self, data: bytes, row: int, parse: Parser, empty: pa.RecordBatch) -> ReadRows:
        """The rows of whole records."""

        def several(part: Sequence[bytes]) -> pa.RecordBatch:
            return parse(self._encoding.to_utf8(b"".join(part)), len(part)) if part else empty

        ends = self._format.cutter.ends(data)
        if has_empty_lines(data, ends):
            records = self._records(data)
            data = b"".join(records)
            ends = self._format.cutter.ends(data)
        if not data:
            return ReadRows(row, empty)
        count = len(ends) + (not len(ends) or int(ends[-1]) < len(data))
        try:
            return ReadRows(row, parse(self._encoding.to_utf8(data), count))
        except REFUSALS:
            return sift(self._records(data), several, lambda record: record.strip(b"\r\n"), row)

    def _records(self, data: bytes) -> list[bytes]:
        """The records, with the ends of their lines; without those that are empty lines."""
        ends = self._format.cutter.ends(data).tolist()
        cut = (data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True))
        return [record for record in cut if record.strip(b"\r\n")]

    def _readable(self, records: Sequence[bytes]) -> Iterator[bytes]:
        """Those that can be decoded, in UTF-8."""
        for record in records:
            with suppress(UnicodeError):
                yield self._encoding.to_utf8(record)

    def _header(self, source: str, blocks: RecordBlocks) -> str:
        if not self._format.has_header:
            return ""
        try:
            return self._encoding.to_utf8(blocks.header()).decode()
        except UnicodeError as err:
            raise damaged(source, f"the header is not of the encoding: {err}") from err

    def _blocks(self, source: str, opened: io.BufferedIOBase, block_bytes: int) -> RecordBlocks:
        stream = unpacked(opened, compression_of(source, self._spec.compression))
        text = self._encoding.stream(stream)
        return RecordBlocks(text, self._format.cutter, block_bytes, self._spec.max_row_bytes)

    def _is_whole(self, source: str) -> bool:
        """Whether such a file can only be read from its start."""
        is_packed = compression_of(source, self._spec.compression) != "none"
        of_lines = isinstance(self._format.cutter, LineCutter)
        return is_packed or not self._encoding.is_superset or not of_lines


def has_empty_lines(data: bytes, ends: npt.NDArray[np.intp]) -> bool:
    """Whether a record is but the end of a line.

    Args:
        data: whole records.
        ends: the offset behind each.
    """
    lengths = np.diff(ends, prepend=0)
    pairs = ends[lengths == 2]
    in_pairs = np.frombuffer(data, np.uint8)[pairs - 2] == ord("\r")
    is_rest = int(ends[-1]) if len(ends) else 0
    return bool((lengths == 1).any() or in_pairs.any() or data[is_rest:] == b"\r")
