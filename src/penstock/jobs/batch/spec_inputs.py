"""What a job says of files that it reads: one Struct for each format. Plain values."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Paths = Annotated[str, msgspec.Meta(min_length=1)] | tuple[str, ...]
"""Paths or URLs: of a file, of a folder (every file below it), or with ``* ? [] **``. Files and
folders whose names begin with ``_`` or ``.`` are left out, unless they are named."""

Compression = Literal["auto", "none", "gzip", "bz2", "xz", "zstd"]
"""How files are packed; ``auto``: as their names end."""

InferRows = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
MaxRowBytes = Annotated[int, msgspec.Meta(ge=1, le=2**30)]
PixelCount = Annotated[int, msgspec.Meta(ge=1, le=16384)]

DEFAULT_MAX_ROW_BYTES = 64 * 1024 * 1024
DEFAULT_INFER_ROWS = 10_000


class ParquetInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="parquet"):
    """Parquet files. The first one tells the columns.

    Attributes:
        path: which.
    """

    path: Paths


class ArrowInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="arrow"):
    """Arrow IPC files (Feather 2 too) or streams. The first one tells the columns.

    Attributes:
        path: which.
    """

    path: Paths


class CsvInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="csv"):
    """CSV files: columns are found by their names in each file's header.

    Attributes:
        path: which.
        compression: how they are packed.
        encoding: of their text, as Python calls it; a mark of byte order is skipped.
        types: the types of columns, as ``float64`` or ``string``; the rest is told by the first
            rows of the first file.
        infer_rows: how many rows tell that.
        max_row_bytes: a longer row is a bad one, and is not held in memory.
        delimiter: one character.
        quote: one character; "": values are never quoted.
        header: whether the first line has the names of columns.
        column_names: where it has none; (): ``f0``, ``f1``, ...
        newlines_in_values: whether quoted values may go over several lines. Such a file is one
            split.
        null_values: what stands for no value (in text: it stays text); None: the usual ways.
    """

    path: Paths
    compression: Compression = "auto"
    encoding: str = "utf-8"
    types: dict[str, str] = msgspec.field(default_factory=dict)
    infer_rows: InferRows = DEFAULT_INFER_ROWS
    max_row_bytes: MaxRowBytes = DEFAULT_MAX_ROW_BYTES
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    column_names: tuple[str, ...] = ()
    newlines_in_values: bool = False
    null_values: tuple[str, ...] | None = None


class JsonLinesInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="jsonl"):
    """JSON Lines: an object a line. A column that a line lacks is null there.

    Attributes:
        path, compression, encoding, types, infer_rows, max_row_bytes: as of ``CsvInput``.
    """

    path: Paths
    compression: Compression = "auto"
    encoding: str = "utf-8"
    types: dict[str, str] = msgspec.field(default_factory=dict)
    infer_rows: InferRows = DEFAULT_INFER_ROWS
    max_row_bytes: MaxRowBytes = DEFAULT_MAX_ROW_BYTES


class TextInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="text"):
    """Lines of text, such as logs. Empty lines are no rows.

    Attributes:
        path, compression, encoding, types, max_row_bytes: as of ``CsvInput``; values are text
            where ``types`` says nothing.
        pattern: a regular expression of RE2 with named groups, searched in each line: a column for
            each group. A line without it is a bad row. "": one column, ``line``.
    """

    path: Paths
    compression: Compression = "auto"
    encoding: str = "utf-8"
    types: dict[str, str] = msgspec.field(default_factory=dict)
    max_row_bytes: MaxRowBytes = DEFAULT_MAX_ROW_BYTES
    pattern: str = ""


class XmlInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="xml"):
    """XML files: a row for each element of one name. A file is one split.

    Document types, and the entities and files they could name, are refused.

    Attributes:
        path, compression, types, max_row_bytes: as of ``CsvInput``; values are text where
            ``types`` says nothing.
        row: the name of a row's element, without namespace.
        columns: where a column's value is within the element: ``title``, ``author/name``, ``@id``,
            ``author/@id``, ``.`` for its own text. Empty: its attributes and its children's text,
            by their names, as far as the first rows have them.
        infer_rows: how many rows tell that.
    """

    path: Paths
    row: Annotated[str, msgspec.Meta(min_length=1)]
    compression: Compression = "auto"
    columns: dict[str, str] = msgspec.field(default_factory=dict)
    types: dict[str, str] = msgspec.field(default_factory=dict)
    infer_rows: InferRows = DEFAULT_INFER_ROWS
    max_row_bytes: MaxRowBytes = DEFAULT_MAX_ROW_BYTES


class ImagesInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="images"):
    """Image files, one a row: the columns ``path`` and ``image``.

    Attributes:
        path: which; of a folder, those whose names end as images' do.
        height, width: both: ``image`` is the picture in RGB, brought to this size: a tensor of
            uint8 of a fixed shape. Neither: the bytes of the file.
        layout: of that shape: ``[height, width, 3]`` or ``[3, height, width]``.
        max_row_bytes: a larger file is a bad row, and is not read.
    """

    path: Paths
    height: PixelCount | None = None
    width: PixelCount | None = None
    layout: Literal["hwc", "chw"] = "hwc"
    max_row_bytes: MaxRowBytes = DEFAULT_MAX_ROW_BYTES


FileInput = (
    ParquetInput | CsvInput | JsonLinesInput | XmlInput | TextInput | ImagesInput | ArrowInput
)
"""Every format of files."""
