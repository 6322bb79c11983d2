"""FileSink: an output of files in a folder, one for each split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.sink import OutputHold, Receipt
from penstock.jobs.batch.sinks.encoders import ending, open_encoder
from penstock.jobs.batch.sinks.local_folder import LocalFolder
from penstock.jobs.batch.sinks.object_folder import ObjectFolder
from penstock.jobs.batch.sinks.output_folder import OutputFolder, UnfinishedFile, write_failed
from penstock.jobs.batch.sinks.row_groups import RowGroups
from penstock.jobs.batch.spec_outputs import CsvOutput, FileOutput

SUCCESS = "_SUCCESS"
_PART = "part-"
GROUP_ROWS = 65_536
GROUP_BYTES = 16 * 1024 * 1024
_UNWRITABLE = (OSError, pa.ArrowException, ValueError, OverflowError)
"""What encoders raise: of the file, or of a value that the format has no place for."""


def open_file_sink(spec: FileOutput) -> FileSink:
    """Open an output of files; nothing is written or looked at yet.

    Raises:
        ConfigError: it is no place to write to, a package is missing, or a field is wrong.
    """
    if isinstance(spec, CsvOutput) and not (spec.delimiter.isascii() and len(spec.delimiter) == 1):
        raise ConfigError(f"output.delimiter: expected one ASCII character, got '{spec.delimiter}'")
    path = spec.path.removeprefix("file://")
    return FileSink(spec, ObjectFolder(path) if "://" in path else LocalFolder(Path(path)))


class FileSink:
    """Writes ``part-SPLIT.parquet`` and the like; see ``BatchSink``.

    Law: the same rows give the same bytes, in whatever batches they come.

    Args:
        spec: the format.
        folder: where the files go.
    """

    def __init__(self, spec: FileOutput, folder: OutputFolder) -> None:
        self._spec = spec
        self._folder = folder
        self._ending = ending(spec)

    def open(self, split_id: str, schema: pa.Schema) -> FilePart:
        """See ``BatchSink``."""
        return FilePart(self._spec, self._folder.create(self._name(split_id)), schema)

    def holds(self, split_id: str, receipt: Receipt) -> bool:
        """See ``BatchSink``.

        Raises:
            JobOutputError: the folder cannot be looked at.
        """
        return self._folder.holds(self._name(split_id), receipt)

    def part_ids(self) -> Iterable[str]:
        """See ``ListsParts``; parts of other formats are seen, too."""
        for name in self._folder.names():
            if name.startswith(_PART):
                yield name.removeprefix(_PART).partition(".")[0]

    def hold(self, state: Path) -> OutputHold | None:
        """See ``HoldsOutput``."""
        return self._folder.hold(state)

    def begin(self) -> None:
        """See ``BatchSink``."""
        self._folder.clean(SUCCESS)

    def finish(self, summary: bytes) -> None:
        """See ``BatchSink``."""
        mark = self._folder.create(SUCCESS)
        try:
            mark.file.write(summary)
            mark.publish()
        except OSError as err:
            raise write_failed(SUCCESS, err) from err
        finally:
            mark.discard()
        self._folder.tidy()

    def close(self) -> None:
        """Nothing is held."""

    def _name(self, split_id: str) -> str:
        return f"{_PART}{split_id}{self._ending}"


class FilePart:
    """One file; see ``PartWriter``.

    Args:
        spec: the format.
        target: the file.
        schema: of its rows.

    Raises:
        JobOutputError: the format cannot hold these columns, or it cannot be written.
    """

    def __init__(self, spec: FileOutput, target: UnfinishedFile, schema: pa.Schema) -> None:
        self._target = target
        self._groups = RowGroups(GROUP_ROWS, GROUP_BYTES)
        self._format = str(spec.__struct_config__.tag)
        self._rows = 0
        try:
            self._encoder = open_encoder(spec, target.file, schema)
        except _UNWRITABLE as err:
            target.file.drop()
            target.discard()
            raise self._failed(err) from err

    def write(self, batch: pa.RecordBatch) -> None:
        """See ``PartWriter``."""
        try:
            for group in self._groups.add(batch):
                self._encoder.write(group)
        except _UNWRITABLE as err:
            raise self._failed(err) from err
        self._rows += batch.num_rows

    def commit(self) -> Receipt:
        """See ``PartWriter``."""
        try:
            for group in self._groups.rest():
                self._encoder.write(group)
            self._encoder.close()
            mtime_ns = self._target.publish()
        except _UNWRITABLE as err:
            raise self._failed(err) from err
        file = self._target.file
        return Receipt(self._rows, file.tell(), file.digest, mtime_ns)

    def abort(self) -> None:
        """See ``PartWriter``."""
        self._target.file.drop()
        with contextlib.suppress(OSError, pa.ArrowException, ValueError):
            self._encoder.close()
        self._target.discard()

    def _failed(self, err: Exception) -> JobOutputError:
        if isinstance(err, OSError):
            return write_failed(self._target.place, err)
        told = str(err).partition("\n")[0]
        return JobOutputError(
            f"{self._target.place}: {self._format} cannot hold these columns: {told}; cast them in "
            "the transform, keep other columns, or choose another format"
        )
