"""What ``penstock predict`` prints of an answer: its outputs row by row."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from penstock.app.cli.infer_call import InferAnswer, shown_array
from penstock.app.cli.model_tables import plain_table
from penstock.core.tensor import Tensor

_MAX_ROWS = 20
_MAX_ELEMENTS = 8
_MAX_CHARS = 200


def output_table(answer: InferAnswer) -> list[Any]:
    """A table with a line per row; where outputs have no rows in common, a line per output."""
    outputs = answer.outputs
    rows = {tensor.shape[0] if tensor.shape else -1 for tensor in outputs}
    if len(rows) != 1 or -1 in rows:
        return [_by_output(outputs)]
    (count,) = rows
    if not count:
        return ["no rows"]
    table = plain_table("row", *(tensor.name for tensor in outputs))
    table.columns[0].style = "dim"
    arrays = [shown_array(tensor) for tensor in outputs]
    for row in range(min(count, _MAX_ROWS)):
        table.add_row(str(row), *(_cell(array[row]) for array in arrays))
    return [table, f"... {count - _MAX_ROWS} more"] if count > _MAX_ROWS else [table]


def _by_output(outputs: tuple[Tensor, ...]) -> Any:
    table = plain_table("output", "datatype", "shape", "value")
    for tensor in outputs:
        value = _cell(shown_array(tensor))
        table.add_row(Text(tensor.name), str(tensor.dtype), str(list(tensor.shape)), value)
    return table


def _cell(value: Any) -> Text:
    """A number, a text, or the beginning of a list of them."""
    if not getattr(value, "shape", ()):
        return Text(_element(value))
    flat = value.reshape(-1)
    shown = ", ".join(_element(item) for item in flat[:_MAX_ELEMENTS])
    if flat.size > _MAX_ELEMENTS:
        shape = " x ".join(str(size) for size in value.shape)
        return Text(f"[{shown}, ...] {shape}")
    return Text(f"[{shown}]")


def _element(value: Any) -> str:
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float):
        return f"{plain:.6g}"
    if isinstance(plain, bytes):
        return _bytes(plain)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)


def _bytes(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"<{len(value):,} bytes>"
    line = text.replace("\r", "\\r").replace("\n", "\\n")
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}... {len(text)} characters"
