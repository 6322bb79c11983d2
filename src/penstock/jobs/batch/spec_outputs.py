"""What a job says of files that it writes: one Struct for each format. Plain values."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

Place = Annotated[str, msgspec.Meta(min_length=1)]
"""A folder: a path, ``file://``, ``s3://bucket/path``, ``gs://bucket/path`` or
``az://container/path``. Each split is a file ``part-SPLIT`` in it."""

TextCompression = Literal["none", "gzip", "bz2", "zstd"]


class ParquetOutput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="parquet"):
    """Parquet files.

    Attributes:
        path: the folder.
        compression: of their pages.
    """

    path: Place
    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"


class CsvOutput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="csv"):
    """CSV files, UTF-8: text in quotes, a null is nothing, lists are JSON, binary is base64.

    Attributes:
        path: the folder.
        compression: of whole files.
        delimiter: one ASCII character.
        header: whether each file begins with the names of its columns.
    """

    path: Place
    compression: TextCompression = "none"
    delimiter: str = ","
    header: bool = True


class JsonLinesOutput(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="jsonl"):
    """JSON Lines, an object a row: NaN and infinities are null, binary is base64.

    Attributes:
        path: the folder.
        compression: of whole files.
    """

    path: Place
    compression: TextCompression = "none"


FileOutput: TypeAlias = ParquetOutput | CsvOutput | JsonLinesOutput
