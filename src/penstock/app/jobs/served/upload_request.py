"""An upload's query as the fields of a job. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.errors import ConfigError, InvalidArgument, UnsupportedEncoding

_INPUTS = ("csv", "jsonl", "parquet")
_OUTPUTS = ("csv", "jsonl", "parquet")
_PACKED = {"": "", "gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}
_LISTS = frozenset({"keep", "binary", "input.column_names", "input.null_values"})
_VALUES = frozenset(
    {
        "batch_size",
        "split_rows",
        "workers",
        "on_error.max_rate",
        "input.header",
        "input.infer_rows",
        "input.max_row_bytes",
        "input.newlines_in_values",
        "output.header",
    }
)
_GROUPS = frozenset({"columns", "rename", "on_error", "input", "output"})


def fields_of(query: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a job, without the place of its input and its output.

    ``columns.text=body`` is the field ``text`` of ``columns``; ``keep=id,body`` is a list; so is
    ``columns.x=a,b,c``.

    Args:
        query: name to value: ``model``, ``version``, ``format`` and ``output`` (a format each),
            and others of a job.

    Raises:
        InvalidArgument: a name is none.
        ConfigError: there is no model, or a format is not known.
    """
    told = dict(query)
    fields: dict[str, Any] = {
        "model": {"name": told.pop("model", ""), "version": told.pop("version", "")},
        "input": {"format": _format(told, "format", _INPUTS, "")},
        "output": {"format": _format(told, "output", _OUTPUTS, "jsonl")},
    }
    for name, text in told.items():
        group, dot, rest = name.partition(".")
        if not dot:
            fields[name] = _value(name, text)
        elif group in _GROUPS and rest and rest not in ("format", "path", "compression"):
            fields.setdefault(group, {})[rest] = _value(name, text)
        else:
            raise InvalidArgument(f"the query: '{name[:64]}' is not known")
    return fields


def upload_name(fields: Mapping[str, Any], encoding: str) -> str:
    """What the uploaded file is called, so that a job unpacks and reads it.

    Args:
        fields: from ``fields_of``.
        encoding: how it is packed, as ``Content-Encoding`` says; "": it is not.

    Raises:
        UnsupportedEncoding: a job cannot unpack it.
    """
    kind = fields["input"]["format"]
    if encoding not in _PACKED or (encoding and kind == "parquet"):
        known = "nothing: Parquet is packed in itself" if kind == "parquet" else "gzip or zstd"
        raise UnsupportedEncoding(
            f"Content-Encoding: {encoding[:32]}: an upload of {kind} may be packed with {known}"
        )
    return f"input.{kind}{_PACKED[encoding]}"


def _format(told: dict[str, str], name: str, known: tuple[str, ...], otherwise: str) -> str:
    found = told.pop(name, otherwise)
    if found not in known:
        got = f"got '{found[:32]}'" if found else "missing"
        raise ConfigError(f"the query: {name}: expected one of {', '.join(known)}; {got}")
    return found


def _value(name: str, text: str) -> Any:
    """A text as the value that a field takes."""
    if name in _LISTS or (name.startswith("columns.") and "," in text):
        return text.split(",")
    if name in _VALUES:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text  # 'auto', or what is told to be wrong
    return text
