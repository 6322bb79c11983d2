"""Input files of ``penstock predict``: bytes to rows, columns, a V2 request or plain bytes."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from penstock.core.errors import ConfigError, InvalidArgument, LoadFailed

_BY_SUFFIX = {
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_FORMATS = ("json", "csv", "tsv", "parquet", "binary")
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class V2Request:
    """A request that is written out already; it is sent as it is."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Values:
    """Values without a name, for a model's only input."""

    values: list[Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Named columns, or one row of named values.

    Attributes:
        columns: name to values; where ``rows`` is None, a value may also be that of one row.
        rows: how many rows each column has; None: it is not known.
    """

    columns: dict[str, Any]
    rows: int | None


@dataclass(frozen=True, slots=True)
class Plain:
    """A file that is one value of a BYTES input."""

    content: bytes


InputData: TypeAlias = "V2Request | Values | Columns | Plain"


def read_input(path: str, file_format: str = "") -> InputData:
    """Read what is to be predicted.

    Args:
        path: the file; ``-``: standard input.
        file_format: one of ``json``, ``csv``, ``tsv``, ``parquet``, ``binary``; "": by the file's
            name, and of standard input by its beginning.

    Raises:
        ConfigError: the file cannot be read, or there is no such format.
        InvalidArgument: the file is not what its format says; names the place.
        LoadFailed: a package is missing; says how to install it.
    """
    if file_format and file_format not in _FORMATS:
        raise ConfigError(f"--format: expected one of {', '.join(_FORMATS)}, got '{file_format}'")
    where = "standard input" if path == "-" else path
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as err:
        raise ConfigError(f"{where}: cannot be read: {(err.strerror or str(err)).lower()}") from err
    if not file_format:
        named = _BY_SUFFIX.get(Path(path).suffix.lower(), "binary")
        file_format = _guess(content) if path == "-" else named
    if not content and file_format != "binary":
        raise InvalidArgument(f"{where}: is empty")
    match file_format:
        case "json":
            return _read_json(content, where)
        case "csv" | "tsv":
            return _read_csv(content, where, "\t" if file_format == "tsv" else ",")
        case "parquet":
            return _read_parquet(content, where)
        case _:
            return Plain(content)


def _guess(content: bytes) -> str:
    if content.startswith(_PARQUET_MAGIC):
        return "parquet"
    if content.lstrip()[:1] in (b"{", b"["):
        return "json"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "binary"
    return "csv" if "\n" in text.strip() else "binary"


def _read_json(content: bytes, where: str) -> InputData:
    try:
        value = json.loads(content)
    except UnicodeDecodeError as err:
        raise InvalidArgument(f"{where}: not UTF-8 text (byte {err.start})") from err
    except json.JSONDecodeError as err:
        raise InvalidArgument(
            f"{where}:{err.lineno}:{err.colno}: not valid JSON: {err.msg.lower()}"
        ) from err
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"{where}: not valid JSON: {err}") from err
    if isinstance(value, dict):
        return V2Request(content) if _is_request(value) else Columns(value, None)
    if not isinstance(value, list) or not value:
        raise InvalidArgument(f"{where}: expected an object, or an array of rows")
    if not any(isinstance(row, dict) for row in value):
        return Values(value)
    return _columns_of(value, where)


def _is_request(value: dict[str, Any]) -> bool:
    inputs = value.get("inputs")
    return isinstance(inputs, list) and all(
        isinstance(item, dict) and {"name", "shape"} <= item.keys() for item in inputs
    )


def _columns_of(rows: list[Any], where: str) -> Columns:
    """Rows that are objects, as columns."""
    names = list(rows[0]) if isinstance(rows[0], dict) else []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.keys() != set(names):
            got = sorted(row) if isinstance(row, dict) else "no object"
            raise InvalidArgument(f"{where}: row {number}: expected the names {names}, got {got}")
    return Columns({name: [row[name] for row in rows] for name in names}, len(rows))


def _read_csv(content: bytes, where: str, delimiter: str) -> Columns:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise InvalidArgument(f"{where}: not UTF-8 text (byte {err.start})") from err
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InvalidArgument(
                    f"{where}:{reader.line_num}: expected {len(header)} values, got {len(row)}"
                )
            rows.append(row)
    except csv.Error as err:
        raise InvalidArgument(f"{where}:{reader.line_num}: not valid CSV: {err}") from err
    if _are_numbers(header):
        raise InvalidArgument(
            f"{where}:1: the first line must hold column names, got {', '.join(header[:4])}"
        )
    if len(set(header)) != len(header):
        raise InvalidArgument(f"{where}: two columns of one name in {header}")
    if not rows:
        raise InvalidArgument(f"{where}: a header but no rows")
    columns = {name: [_cell(row[i]) for row in rows] for i, name in enumerate(header)}
    return Columns(columns, len(rows))


def _are_numbers(header: list[str]) -> bool:
    """Whether a first line is a row of numbers; 0, 1, 2 ... are names, such as pandas gives."""
    if header == [str(position) for position in range(len(header))]:
        return False
    try:
        return bool([float(name) for name in header])
    except ValueError:
        return False


def _cell(text: str) -> Any:
    """A cell's text; a JSON array where it is one."""
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_parquet(content: bytes, where: str) -> Columns:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as err:
        text = f"{where}: reading Parquet needs pyarrow: pip install 'penstock[batch]'"
        raise LoadFailed(text) from err
    try:
        table = parquet.read_table(io.BytesIO(content))
    except Exception as err:
        reason = (str(err).splitlines() or [type(err).__name__])[0]
        raise InvalidArgument(f"{where}: not valid Parquet: {reason}") from err
    if not table.num_rows:
        raise InvalidArgument(f"{where}: has no rows")
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return Columns(columns, table.num_rows)
