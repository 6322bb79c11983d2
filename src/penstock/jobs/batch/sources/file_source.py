"""What the sources of every format of files have in common."""

from __future__ import annotations

import copy
import io
import lzma
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from typing import Self, TypeVar

import pyarrow as pa

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.files import Files, check_paths
from penstock.jobs.batch.sources.input_file import InputFile, why_unreadable
from penstock.jobs.batch.sources.pieces import pieces
from penstock.jobs.batch.split import Split
from penstock.repository.manifest_shape import nearest

T = TypeVar("T")

BLOCK_BYTES = 1024 * 1024
"""About how much of a file is parsed at once."""


class ColumnSource(ABC):
    """Files with columns, of which some may be asked for.

    Args:
        path: which files, as ``Paths`` tells.
        split_rows: about how many rows make a split, >= 1.

    Raises:
        ConfigError: ``path`` names nothing, or holds credentials.
    """

    def __init__(self, path: str | tuple[str, ...], split_rows: int) -> None:
        self._files = Files(check_paths(path))
        self._split_rows = max(1, split_rows)
        self._columns: frozenset[str] | None = None

    def schema(self) -> pa.Schema:
        """The columns that reads give; see ``BatchSource``."""
        whole = self._whole_schema()
        if self._columns is None:
            return whole
        return pa.schema([field for field in whole if field.name in self._columns])

    def only(self, columns: Collection[str]) -> Self:
        """The same input with some of its columns; see ``BatchSource``."""
        if not columns:
            raise ConfigError("input: no column of it is asked for")
        names = self.schema().names
        for column in columns:
            if column not in names:
                text = f"{self._files}: no column {column!r}; {nearest(column, names)}"
                raise JobInputError(text)
        narrowed = copy.copy(self)
        narrowed._columns = frozenset(columns)
        return narrowed

    def close(self) -> None:  # noqa: B027 - a source of files has nothing to give back
        """Nothing is held between reads."""

    @abstractmethod
    def _whole_schema(self) -> pa.Schema:
        """All columns."""


class FileSource(ColumnSource):
    """A ``BatchSource`` of which each split is of one file; see there for what its methods say.

    A file that cannot be planned because it is damaged, or may not be read, is planned as one
    split, whose reading tells why: the job decides what comes of it.

    Args:
        path, split_rows: as for ``ColumnSource``.

    Raises:
        ConfigError: as for ``ColumnSource``.
    """

    def __init__(self, path: str | tuple[str, ...], split_rows: int) -> None:
        super().__init__(path, split_rows)
        self._whole: pa.Schema | None = None

    def plan(self) -> Iterator[Split]:
        """Every split, file by file; see ``BatchSource``."""
        for file in self._files.list():
            try:
                with explained(file.source):
                    splits = tuple(self._cut(file))
            except JobInputError as err:
                if err.retryable:
                    raise
                splits = (Split(file.source, file.fingerprint),)
            yield from splits

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """The rows of a split; see ``BatchSource``."""
        schema = self.schema()
        file = self._unchanged(split)
        with explained(split.source), closing(self._files.open(file)) as opened:
            runs = self._runs(opened, split, schema, min(max_bytes, BLOCK_BYTES))
            yield from pieces(runs, max_rows, max_bytes)
        self._unchanged(split)

    @abstractmethod
    def _find_schema(self, file: InputFile) -> pa.Schema | None:
        """The columns as a file tells them; None: it is empty, and tells nothing."""

    @abstractmethod
    def _cut(self, file: InputFile) -> Iterator[Split]:
        """The splits of a file; none where it has no rows."""

    @abstractmethod
    def _runs(
        self, opened: io.BufferedIOBase, split: Split, schema: pa.Schema, run_bytes: int
    ) -> Iterator[ReadRows]:
        """The rows of a split, in runs of about so many bytes where the format allows it."""

    def _whole_schema(self) -> pa.Schema:
        if self._whole is None:
            self._whole = self._first(self._find_schema)
        if self._whole is None:
            raise JobInputError(f"{self._files}: every file is empty: there is nothing to read")
        return self._whole

    def _first(self, work: Callable[[InputFile], T | None]) -> T | None:
        """What the first file gives that gives something; None: they are all empty.

        Raises:
            JobInputError: none gives anything, and this is what the first one came to; or a try
                later may fare better.
        """
        failure: JobInputError | None = None
        for file in self._files.list():
            try:
                with explained(file.source):
                    found = work(file)
            except JobInputError as err:
                if err.retryable:
                    raise
                failure = failure or err
                continue
            if found is not None:
                return found
        if failure is not None:
            raise failure
        return None

    def _unchanged(self, split: Split) -> InputFile:
        """The split's file.

        Raises:
            JobInputError: it is another one than was planned.
        """
        file = self._files.look(split.source)
        if file.fingerprint != split.fingerprint:
            raise JobInputError(
                f"{split.source}: was changed since it was planned (then {split.fingerprint}, now "
                f"{file.fingerprint}): plan the job anew"
            )
        return file


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Tell what readers raise of a damaged file as JobInputError, with the file's name."""
    try:
        yield
    except OSError as err:
        if err.errno is not None:
            raise why_unreadable(source, err) from err
        raise damaged(source, err) from err
    except (pa.ArrowInvalid, pa.ArrowException, EOFError, zlib.error, lzma.LZMAError) as err:
        if isinstance(err, MemoryError):
            raise
        raise damaged(source, err) from err


def damaged(source: str, reason: Exception | str) -> JobInputError:
    """A file that is cut off, or is not of its format."""
    text = " ".join(str(reason).split())[:300]
    return JobInputError(f"{source}: is damaged, cut off, or of another format: {text}")
