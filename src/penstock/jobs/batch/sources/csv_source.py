"""CSV files, parsed by Arrow."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as arrow_csv

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.sources.file_source import damaged
from penstock.jobs.batch.sources.record_blocks import Cutter, LineCutter, QuotedCutter
from penstock.jobs.batch.sources.schemas import check_names, one_batch, types_of
from penstock.jobs.batch.sources.text_source import Parser, TextSource
from penstock.jobs.batch.spec_inputs import CsvInput
from penstock.repository.manifest_shape import nearest

_PLACE = re.compile(r"^(?:CSV parse error: |In CSV column #(?P<column>\d+): )(?:Row #\d+: )?")


class CsvSource(TextSource):
    """Reads CSV; a row that has too few or too many values, or one not of its type, is bad.

    Args:
        spec: which files, and how they are written.
        split_rows: about how many rows make a split.

    Raises:
        ConfigError: the delimiter, the quote or a type is no such thing.
    """

    def __init__(self, spec: CsvInput, split_rows: int) -> None:
        super().__init__(spec, split_rows, CsvFormat(spec))


class CsvFormat:
    """What a record of CSV is; see ``RecordFormat``.

    Args:
        spec: how the files are written.

    Raises:
        ConfigError: as for ``CsvSource``.
    """

    def __init__(self, spec: CsvInput) -> None:
        _check_mark("delimiter", spec.delimiter)
        if spec.quote:
            _check_mark("quote", spec.quote)
        if spec.newlines_in_values and not spec.quote:
            raise ConfigError("input: newlines_in_values: only quoted values can hold newlines")
        self._spec = spec
        self._types = types_of(spec.types)
        for column, kind in self._types.items():
            if pa.types.is_nested(kind):
                raise ConfigError(f"input: types.{column}: a value of CSV is no {kind}")

    @property
    def has_header(self) -> bool:
        """See ``RecordFormat``."""
        return self._spec.header

    @property
    def cutter(self) -> Cutter:
        """See ``RecordFormat``."""
        return QuotedCutter(self._spec.quote) if self._spec.newlines_in_values else LineCutter()

    def schema(self, source: str, header: str, sample: Sequence[bytes]) -> pa.Schema:
        """See ``RecordFormat``."""
        names = self._names(source, header) if header else self._told_names(source, sample)
        check_names(source, names)
        for column in self._types:
            if column not in names:
                hint = nearest(column, names)
                raise JobInputError(f"{source}: no column {column!r}, which types names; {hint}")
        found = self._inferred(names, [one for one in names if one not in self._types], sample)
        return pa.schema([(name, self._types.get(name) or found[name]) for name in names])

    def parser(self, source: str, header: str, whole: pa.Schema, wanted: pa.Schema) -> Parser:
        """See ``RecordFormat``."""
        names = self._names(source, header) if header else whole.names
        check_names(source, names)
        for column in wanted.names:
            if column not in names:
                raise JobInputError(
                    f"{source}: column {column!r} is missing, which the first file has; "
                    f"{nearest(column, names)}"
                )
        convert = arrow_csv.ConvertOptions(
            column_types=wanted, include_columns=wanted.names, check_utf8=False, **self._nulls()
        )

        def parse(data: bytes, count: int) -> pa.RecordBatch:
            try:
                return self._parse(data, count, names, convert)
            except pa.ArrowInvalid as err:
                raise pa.ArrowInvalid(_told(str(err), names)) from err

        return parse

    def _parse(
        self, data: bytes, count: int, names: Sequence[str], convert: arrow_csv.ConvertOptions
    ) -> pa.RecordBatch:
        is_quoted = bool(self._spec.quote) and self._spec.quote.encode() in data
        if is_quoted:  # the last record once more: a quote that stays open swallows that
            data = data if data.endswith(b"\n") else data + b"\n"
            data += data[self.cutter.last_end(data[:-1]) :]
        has_returns = b"\r" in data and not self._spec.newlines_in_values
        if has_returns and data.count(b"\r") != data.count(b"\r\n"):
            raise pa.ArrowInvalid("a carriage return within a line")
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=_whole_block(data, names),
            parse_options=self._parse_options(),
            convert_options=convert,
        )
        if table.num_rows != count + is_quoted:
            raise pa.ArrowInvalid("a quote stays open, or closes in a later line")
        return one_batch(table).slice(0, count)

    def _inferred(
        self, names: Sequence[str], wanted: Sequence[str], sample: Sequence[bytes]
    ) -> dict[str, pa.DataType]:
        """The types of columns as the sample has them; text where it has no value."""
        data = b"".join(one if one.endswith(b"\n") else one + b"\n" for one in sample)
        if not data or not wanted:
            return dict.fromkeys(wanted, pa.string())
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=_whole_block(data, names),
            parse_options=self._parse_options(lambda _: "skip"),
            convert_options=arrow_csv.ConvertOptions(include_columns=wanted, **self._nulls()),
        )
        return {
            field.name: pa.string() if pa.types.is_null(field.type) else field.type
            for field in table.schema
        }

    def _names(self, source: str, header: str) -> list[str]:
        quote = self._spec.quote or None
        try:
            return next(
                csv.reader(
                    header.splitlines(keepends=True),
                    delimiter=self._spec.delimiter,
                    quotechar=quote,
                    quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
                )
            )
        except csv.Error as err:
            raise damaged(source, f"the header: {err}") from err

    def _told_names(self, source: str, sample: Sequence[bytes]) -> list[str]:
        width = len(self._names(source, sample[0].decode())) if sample else 0
        names = list(self._spec.column_names) or [f"f{number}" for number in range(width)]
        if not names:
            raise damaged(source, "the first row, which tells the columns, cannot be read")
        return names

    def _parse_options(self, on_invalid: object = None) -> arrow_csv.ParseOptions:
        return arrow_csv.ParseOptions(
            delimiter=self._spec.delimiter,
            quote_char=self._spec.quote or False,
            newlines_in_values=self._spec.newlines_in_values,
            invalid_row_handler=on_invalid,
        )

    def _nulls(self) -> dict[str, list[str]]:
        told = self._spec.null_values
        return {} if told is None else {"null_values": list(told)}


def _whole_block(data: bytes, names: Sequence[str]) -> arrow_csv.ReadOptions:
    return arrow_csv.ReadOptions(
        use_threads=False, block_size=len(data) + 1, column_names=list(names)
    )


def _told(text: str, names: Sequence[str]) -> str:
    """Arrow's text with the name of a column, and without the row's number in its block."""
    match = _PLACE.match(text)
    if match is None:
        return text
    rest = text[match.end() :]
    return rest if match["column"] is None else f"column {names[int(match['column'])]!r}: {rest}"


def _check_mark(name: str, value: str) -> None:
    if len(value) != 1 or not value.isascii() or value in "\r\n":
        raise ConfigError(f"input: {name}: expected one ASCII character, got {value!r}")
