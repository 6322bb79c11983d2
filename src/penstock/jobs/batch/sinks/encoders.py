"""Encoders: groups of rows to the bytes of a file. The same groups give the same bytes."""

from __future__ import annotations

from typing import Protocol

import msgspec
import pyarrow as pa

from penstock.jobs.batch.sinks.hashed_file import HashedFile
from penstock.jobs.batch.sinks.plain_columns import csv_columns, csv_schema, json_rows
from penstock.jobs.batch.sinks.row_groups import is_of_bytes
from penstock.jobs.batch.spec_outputs import CsvOutput, FileOutput, JsonLinesOutput, ParquetOutput

_ENDINGS = {"none": "", "gzip": ".gz", "bz2": ".bz2", "zstd": ".zst"}


class Encoder(Protocol):
    """Writes one file."""

    def write(self, group: pa.RecordBatch) -> None:
        """Append a group of rows.

        Raises:
            OSError: the file says so.
            pyarrow.ArrowException: the format cannot hold them.
        """
        ...

    def close(self) -> None:
        """Write what ends the file; raises as ``write`` does."""
        ...


def ending(spec: FileOutput) -> str:
    """What the names of its files end with."""
    if isinstance(spec, ParquetOutput):
        return ".parquet"
    return f".{spec.__struct_config__.tag}{_ENDINGS[spec.compression]}"


def open_encoder(spec: FileOutput, file: HashedFile, schema: pa.Schema) -> Encoder:
    """Begin a file.

    Raises:
        OSError, pyarrow.ArrowException: as for ``Encoder.write``.
    """
    if isinstance(spec, ParquetOutput):
        return _ParquetEncoder(spec, file, schema)
    stream: pa.NativeFile = pa.PythonFile(file, mode="w")
    if spec.compression != "none":
        stream = pa.CompressedOutputStream(stream, spec.compression)
    if isinstance(spec, JsonLinesOutput):
        return _JsonLinesEncoder(stream)
    return _CsvEncoder(spec, stream, schema)


class _ParquetEncoder:
    """One row group for each group of rows.

    Text alone is written with a dictionary: of scores, it costs four times as much time, and half
    as much space again.
    """

    def __init__(self, spec: ParquetOutput, file: HashedFile, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        texts = [field.name for field in schema if is_of_bytes(field.type)]
        self._writer = pq.ParquetWriter(
            file, schema, compression=spec.compression, use_dictionary=texts
        )

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write_batch(group, row_group_size=group.num_rows)

    def close(self) -> None:
        self._writer.close()


class _CsvEncoder:
    def __init__(self, spec: CsvOutput, stream: pa.NativeFile, schema: pa.Schema) -> None:
        import pyarrow.csv as pcsv

        self._stream = stream
        self._schema = csv_schema(schema)
        options = pcsv.WriteOptions(include_header=spec.header, delimiter=spec.delimiter)
        self._writer = pcsv.CSVWriter(stream, self._schema, write_options=options)

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write_batch(csv_columns(group, self._schema))

    def close(self) -> None:
        self._writer.close()
        self._stream.close()


class _JsonLinesEncoder:
    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, group: pa.RecordBatch) -> None:
        self._stream.write(self._encoder.encode_lines(json_rows(group)))

    def close(self) -> None:
        self._stream.close()
