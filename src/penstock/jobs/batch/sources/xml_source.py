"""XML files: a row for each element of one name, read without holding the file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError, tostring

import pyarrow as pa

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.source import ReadRows
from penstock.jobs.batch.sources.compression import compression_of, unpacked
from penstock.jobs.batch.sources.file_source import FileSource, damaged
from penstock.jobs.batch.sources.input_file import InputFile
from penstock.jobs.batch.sources.schemas import types_of
from penstock.jobs.batch.sources.sift import sift
from penstock.jobs.batch.spec_inputs import XmlInput
from penstock.jobs.batch.split import Split

try:
    import defusedxml.ElementTree as SafeTree
    from defusedxml import DefusedXmlException
except ModuleNotFoundError as error:
    raise ConfigError(
        "input: XML needs the package defusedxml: pip install 'penstock[xml]'"
    ) from error

_RUN_ROWS = 1024


class XmlSource(FileSource):
    """Reads XML; a split is a file. A row whose value is not of its type is bad.

    A file that is not well-formed cannot be read from there on, and fails as a whole.

    Args:
        spec: which files, and where in them values are.
        split_rows: without effect here.

    Raises:
        ConfigError: a type is not known, or a column of ``types`` is not one of ``columns``.
    """

    def __init__(self, spec: XmlInput, split_rows: int) -> None:
        super().__init__(spec.path, split_rows)
        self._spec = spec
        self._types = types_of(spec.types)
        for column in self._types:
            if spec.columns and column not in spec.columns:
                raise ConfigError(f"input: types.{column}: it is not one of the columns")

    def _find_schema(self, file: InputFile) -> pa.Schema | None:
        names = dict.fromkeys(self._spec.columns)
        if not names:
            with self._files.open(file) as opened:
                for row, _ in zip(
                    self._rows(file.source, opened), range(self._spec.infer_rows), strict=False
                ):
                    names.update(dict.fromkeys(_values(row)))
        if not names:
            return None
        names.update(dict.fromkeys(self._types))
        return pa.schema([(name, self._types.get(name, pa.string())) for name in names])

    def _cut(self, file: InputFile) -> Iterator[Split]:
        if file.size_bytes:
            yield Split(file.source, file.fingerprint)

    def _runs(
        self, opened: io.BufferedIOBase, split: Split, schema: pa.Schema, run_bytes: int
    ) -> Iterator[ReadRows]:
        paths = self._spec.columns

        def parse(rows: Sequence[Element]) -> pa.RecordBatch:
            told = [_values(row) if not paths else _found(row, paths) for row in rows]
            texts = (
                pa.array([one.get(field.name) for one in told], pa.string()) for field in schema
            )
            columns = [text.cast(field.type) for text, field in zip(texts, schema, strict=True)]
            return pa.RecordBatch.from_arrays(columns, schema=schema)

        row = 0
        for rows in _grouped(self._rows(split.source, opened), run_bytes):
            yield sift(rows, parse, tostring, row)
            row += len(rows)

    def _rows(self, source: str, opened: io.BufferedIOBase) -> Iterator[Element]:
        """The elements of rows, one after another, of which nobody else holds one."""
        stream = unpacked(opened, compression_of(source, self._spec.compression))
        watched = _Watched(stream, source, self._spec.max_row_bytes)
        above: list[Element] = []
        within = 0
        try:
            for event, element in SafeTree.iterparse(
                watched, events=("start", "end"), forbid_dtd=True
            ):
                is_row = _local(element.tag) == self._spec.row
                if event == "start":
                    above.append(element)
                    within += is_row
                    continue
                above.pop()
                within -= is_row
                if within:
                    continue
                if above:
                    above[-1].remove(element)
                    above[-1].text = None
                watched.begin_row()
                if is_row:
                    element.tail = None
                    yield element
        except ParseError as err:
            raise damaged(source, err) from err
        except DefusedXmlException as err:
            raise JobInputError(f"{source}: document types and entities are refused") from err
        except LookupError as err:
            raise damaged(source, f"unknown encoding: {err}") from err


class _Watched:
    """A stream that refuses to go on where a row has no end.

    Args:
        stream: what is read.
        source: the file, for the message.
        max_bytes: what may be read from the start of a row to its end.
    """

    def __init__(self, stream: io.BufferedIOBase, source: str, max_bytes: int) -> None:
        self._stream = stream
        self._source = source
        self._max_bytes = max_bytes
        self._row_bytes = 0

    def begin_row(self) -> None:
        """What comes now is another row."""
        self._row_bytes = 0

    def read(self, num_bytes: int = -1, /) -> bytes:
        """Some bytes of the stream.

        Raises:
            JobInputError: the row is too long.
        """
        if self._row_bytes > self._max_bytes:
            raise JobInputError(
                f"{self._source}: a row is longer than {self._max_bytes} bytes (max_row_bytes)"
            )
        data = self._stream.read(num_bytes)
        self._row_bytes += len(data)
        return data


def _grouped(rows: Iterator[Element], run_bytes: int) -> Iterator[list[Element]]:
    """Rows in groups of at most 1024, which hold about so many bytes of text and attributes."""
    held: list[Element] = []
    size = 0
    for row in rows:
        held.append(row)
        size += sum(len(text) for text in row.itertext())
        size += sum(len(value) for element in row.iter() for value in element.attrib.values())
        if len(held) == _RUN_ROWS or size >= run_bytes:
            yield held
            held, size = [], 0
    if held:
        yield held


def _values(row: Element) -> dict[str, str | None]:
    """Attributes and children's text by name; of several of one name, the first."""
    found: dict[str, str | None] = {}
    for child in row:
        found.setdefault(_local(child.tag), child.text)
    return {**{_local(name): value for name, value in row.attrib.items()}, **found}


def _found(row: Element, paths: Mapping[str, str]) -> dict[str, str | None]:
    return {column: _at(row, path) for column, path in paths.items()}


def _at(row: Element, path: str) -> str | None:
    """What is at a path such as ``author/@id``; None: nothing."""
    element: Element | None = row
    for part in path.split("/"):
        if element is None:
            return None
        if part.startswith("@"):
            return next((v for name, v in element.attrib.items() if _local(name) == part[1:]), None)
        if part != ".":
            element = next((child for child in element if _local(child.tag) == part), None)
    return None if element is None else element.text


def _local(name: Any) -> str:
    """A name without its namespace; "": of a comment."""
    return name.rpartition("}")[2] if isinstance(name, str) else ""
