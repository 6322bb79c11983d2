"""Lines of text, and what a pattern finds in them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from penstock.core.errors import ConfigError
from penstock.jobs.batch.sources.record_blocks import Cutter, LineCutter
from penstock.jobs.batch.sources.schemas import types_of
from penstock.jobs.batch.sources.text_source import Parser, TextSource
from penstock.jobs.batch.spec_inputs import TextInput
from penstock.repository.manifest_shape import nearest

_LINE = "line"


class TextLinesSource(TextSource):
    """Reads lines; one that the pattern is not in, or a value that is not of its type, is bad.

    Args:
        spec: which files, and the pattern.
        split_rows: about how many rows make a split.

    Raises:
        ConfigError: the pattern, a type or the encoding is no such thing.
    """

    def __init__(self, spec: TextInput, split_rows: int) -> None:
        super().__init__(spec, split_rows, TextLinesFormat(spec))


class TextLinesFormat:
    """What a line is; see ``RecordFormat``.

    Args:
        spec: the pattern and the types.

    Raises:
        ConfigError: as for ``TextLinesSource``.
    """

    def __init__(self, spec: TextInput) -> None:
        self._pattern = spec.pattern
        names = _groups(spec.pattern) if spec.pattern else [_LINE]
        types = types_of(spec.types)
        for column in types:
            if column not in names:
                raise ConfigError(
                    f"input: types.{column}: no such column, {nearest(column, names)}"
                )
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in names])

    @property
    def has_header(self) -> bool:
        """It has none."""
        return False

    @property
    def cutter(self) -> Cutter:
        """See ``RecordFormat``."""
        return LineCutter()

    def schema(self, source: str, header: str, sample: Sequence[bytes]) -> pa.Schema:
        """See ``RecordFormat``. The pattern tells it all."""
        return self._schema

    def parser(self, source: str, header: str, whole: pa.Schema, wanted: pa.Schema) -> Parser:
        """See ``RecordFormat``."""

        def parse(data: bytes, count: int) -> pa.RecordBatch:
            lines = _lines(data)
            if not self._pattern:
                return pa.RecordBatch.from_arrays([lines.cast(wanted.types[0])], schema=wanted)
            found = pc.extract_regex(lines, self._pattern)
            if found.null_count:
                raise pa.ArrowInvalid("the pattern is not in this line")
            columns = [found.field(field.name).cast(field.type) for field in wanted]
            return pa.RecordBatch.from_arrays(columns, schema=wanted)

        return parse


def _lines(data: bytes) -> pa.Array:
    text = pa.array([data.removesuffix(b"\n")], pa.binary()).view(pa.string())
    lines = pc.split_pattern(text, "\n").flatten()
    return pc.replace_substring_regex(lines, r"\r$", "") if b"\r" in data else lines


def _groups(pattern: str) -> list[str]:
    try:
        found = pc.extract_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as err:
        raise ConfigError(f"input: pattern: not a pattern of RE2 with named groups: {err}") from err
    if not found.type.num_fields:
        raise ConfigError("input: pattern: no named group in it, such as (?P<status>[0-9]+)")
    return [field.name for field in found.type]
