"""JSON Lines, parsed by Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from penstock.jobs.batch.sources.file_source import damaged
from penstock.jobs.batch.sources.record_blocks import Cutter, LineCutter
from penstock.jobs.batch.sources.schemas import one_batch, types_of
from penstock.jobs.batch.sources.sift import REFUSALS
from penstock.jobs.batch.sources.text_source import Parser, TextSource
from penstock.jobs.batch.spec_inputs import JsonLinesInput


class JsonLinesSource(TextSource):
    """Reads JSON Lines; a line that is no object, or holds a value not of its type, is bad.

    Args:
        spec: which files.
        split_rows: about how many rows make a split.

    Raises:
        ConfigError: a type or the encoding is no such thing.
    """

    def __init__(self, spec: JsonLinesInput, split_rows: int) -> None:
        super().__init__(spec, split_rows, JsonLinesFormat(spec))


class JsonLinesFormat:
    """What a record of JSON Lines is; see ``RecordFormat``.

    Args:
        spec: the types that are told.

    Raises:
        ConfigError: one is not known.
    """

    def __init__(self, spec: JsonLinesInput) -> None:
        self._types = types_of(spec.types)

    @property
    def has_header(self) -> bool:
        """It has none."""
        return False

    @property
    def cutter(self) -> Cutter:
        """See ``RecordFormat``."""
        return LineCutter()

    def schema(self, source: str, header: str, sample: Sequence[bytes]) -> pa.Schema:
        """See ``RecordFormat``. A value that contradicts those before it tells nothing."""
        objects = [line.strip() for line in sample if _is_object(line)]
        if not objects and not self._types:
            raise damaged(source, "none of its first lines is a JSON object")
        told = pa.schema(list(self._types.items()))
        try:
            found = _inferred(objects, told)
        except REFUSALS:
            found = _first_come(objects, told)
        settled = {field.name: _settled(field.type) for field in found}
        return pa.schema(list({**settled, **self._types}.items()))

    def parser(self, source: str, header: str, whole: pa.Schema, wanted: pa.Schema) -> Parser:
        """See ``RecordFormat``."""

        def parse(data: bytes, count: int) -> pa.RecordBatch:
            batch = one_batch(_read(_objects(data), wanted, "ignore"))
            if batch.num_rows != count:
                raise pa.ArrowInvalid("more than one JSON value in a line")
            return batch

        return parse


def _objects(data: bytes) -> bytes:
    """The lines, each of which begins and ends as an object does.

    With that, no object can go over several lines. And Arrow's parser is not given a block of
    nothing but ``null``, which ends the process.

    Raises:
        ArrowInvalid: one does not.
    """
    data = data if data.endswith(b"\n") else data + b"\n"
    data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    numbers = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(numbers == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    if (numbers[starts] == ord("{")).all() and (numbers[ends - 1] == ord("}")).all():
        return data
    lines = [line.strip() for line in data.split(b"\n")[:-1]]
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        raise pa.ArrowInvalid("not a JSON object")
    return b"\n".join(lines) + b"\n"


def _read(data: bytes, schema: pa.Schema, unexpected: str) -> pa.Table:
    return arrow_json.read_json(
        pa.BufferReader(data),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior=unexpected
        ),
    )


def _inferred(objects: Sequence[bytes], told: pa.Schema) -> pa.Schema:
    if not objects:
        return told
    return _read(b"\n".join(objects) + b"\n", told, "infer").schema


def _first_come(objects: Iterable[bytes], told: pa.Schema) -> pa.Schema:
    """The columns of lines one by one: of those that contradict each other, the first counts."""
    schema = told
    for line in objects:
        try:
            found = _inferred([line], told)
            schema = pa.unify_schemas([schema, found], promote_options="permissive")
        except REFUSALS:
            continue
    return schema


def _is_object(line: bytes) -> bool:
    """Whether it is one, and not nested so deeply that Arrow's parser would end the process."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _settled(kind: pa.DataType) -> pa.DataType:
    """A type that later lines fit too: text stays text, and so does what was always null."""
    if pa.types.is_null(kind) or pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_settled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _settled(field.type)) for field in kind])
    return kind
