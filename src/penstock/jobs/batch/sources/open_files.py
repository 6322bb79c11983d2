"""Opens the source of a format; its libraries are imported only then."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import cast

from penstock.core.errors import ConfigError
from penstock.jobs.batch.source import BatchSource
from penstock.jobs.batch.spec_inputs import FileInput

_SOURCES: Mapping[str, str] = {
    "parquet": "parquet:ParquetSource",
    "arrow": "arrow_ipc:ArrowSource",
    "csv": "csv_source:CsvSource",
    "jsonl": "json_lines:JsonLinesSource",
    "text": "text_lines:TextLinesSource",
    "xml": "xml_source:XmlSource",
    "images": "images:ImagesSource",
}
"""Module and class of each format."""


def open_file_source(spec: FileInput, split_rows: int) -> BatchSource:
    """The source that reads what a job names. Looks at no file yet.

    Args:
        spec: which files, of which format.
        split_rows: about how many rows make a split, >= 1.

    Raises:
        ConfigError: the spec asks for what cannot be, or a package is missing.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("batch jobs need Arrow: pip install 'penstock[batch]'")
    module, _, name = _SOURCES[str(spec.__struct_config__.tag)].partition(":")
    kind = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return cast(BatchSource, kind(spec, split_rows))
