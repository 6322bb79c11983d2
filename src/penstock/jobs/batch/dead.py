"""Dead letters: the rows of a split that could not be predicted, and why. JSON Lines.

One file to a split that has any, ``dead/SPLIT_ID.jsonl`` in the state folder. It stands there
before the split's part does, and is the same bytes however often the split is done.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa

from penstock.core.errors import JobFailed, ModelFailed
from penstock.jobs.batch.durable import make_folder, put_in_place, remove, unwritable
from penstock.jobs.batch.source import BadRow
from penstock.jobs.predictor import ModelIdentity

MAX_RAW_BYTES: Final = 64 * 1024
DEAD: Final = "dead"
"""The folder of the dead letters, in the state folder."""


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that could not be predicted.

    Attributes:
        split: its split, as people read it.
        row: its number in it, from 0.
        code: what is wrong, as ``ErrorCode`` has it.
        message: what is wrong, for people.
        model: the model's name.
        version: its version.
        place: the file and line of the model's code that raised; "": it did not, or a server's did.
        raw: the row as text: what was read of it, or its columns as JSON; cut after 64 KiB.
        raw_base64: instead of ``raw`` where it is no text.
    """

    split: str
    row: int
    code: str
    message: str
    model: str
    version: int
    place: str = ""
    raw: str = ""
    raw_base64: str = ""


class DeadWriter:
    """Writes the dead letters of one split. One thread.

    Args:
        state: the state folder.
        split_id: the split's id.
        split: the split, as people read it.
        model: which model answers.
    """

    def __init__(self, state: Path, split_id: str, split: str, model: ModelIdentity) -> None:
        self._path = dead_path(state, split_id)
        self._unfinished = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.tmp")
        self._split = split
        self._model = model
        self._file: IO[bytes] | None = None

    def write(self, rows: Iterable[BadRow]) -> None:
        """Append rows, in their order.

        Raises:
            JobOutputError: they cannot be written.
        """
        try:
            for row in rows:
                if self._file is None:
                    make_folder(self._path.parent)
                    self._file = self._unfinished.open("wb")
                self._file.write(msgspec.json.encode(self._letter(row)) + b"\n")
        except OSError as err:
            raise unwritable(self._path, err) from err

    def commit(self) -> None:
        """Have them there for good; where none was written, have none there.

        Raises:
            JobOutputError: they cannot be written.
        """
        if self._file is None:
            remove(self._path)
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            put_in_place(self._unfinished, self._path)
        except OSError as err:
            raise unwritable(self._path, err) from err

    def abort(self) -> None:
        """Forget what was written."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
                self._unfinished.unlink(missing_ok=True)

    def _letter(self, row: BadRow) -> DeadLetter:
        raw = row.raw[:MAX_RAW_BYTES]
        try:
            text, encoded = raw.decode(), ""
        except UnicodeDecodeError:
            text, encoded = "", base64.b64encode(raw).decode()
        return DeadLetter(
            split=self._split,
            row=row.row,
            code=row.error.code,
            message=row.error.message,
            model=self._model.name,
            version=self._model.version,
            place=row.error.place if isinstance(row.error, ModelFailed) else "",
            raw=text,
            raw_base64=encoded,
        )


def dead_path(state: Path, split_id: str) -> Path:
    """Where the dead letters of a split are, if it has any."""
    return state / DEAD / f"{split_id}.jsonl"


def read_dead(state: Path, split_id: str) -> list[DeadLetter]:
    """The dead letters of a split, in the order of its rows.

    Raises:
        JobFailed: they are damaged, or cannot be read.
    """
    path = dead_path(state, split_id)
    try:
        return msgspec.json.Decoder(DeadLetter).decode_lines(path.read_bytes())
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as err:
        raise JobFailed(f"{path}: not a file of dead letters: {err}") from err
    except OSError as err:
        raise JobFailed(f"{path}: cannot be read: {err.strerror or err}", retryable=True) from err


def forget_unfinished(state: Path) -> None:
    """Remove what dead writers have left; nobody writes to this state folder."""
    with contextlib.suppress(OSError):
        for left in (state / DEAD).glob("*.tmp"):
            left.unlink()


def raw_rows(batch: pa.RecordBatch, places: Iterable[int]) -> Iterator[bytes]:
    """Rows as JSON objects, cut after 64 KiB; bytes in them are base64."""
    for place in places:
        values = (_cut(_value(column, place)) for column in batch.columns)
        row = dict(zip(batch.schema.names, values, strict=True))
        yield msgspec.json.encode(row, enc_hook=str)[:MAX_RAW_BYTES]


def _value(column: pa.Array, place: int) -> Any:
    """A value as Python has it; else its bytes, or as Arrow shows it: text that is no UTF-8, a time
    of no year that Python knows, a zone that is not known here.
    """
    try:
        return column[place].as_py()
    except (ValueError, OverflowError, LookupError):
        one = column.slice(place, 1)
        is_text = pa.types.is_string(one.type) or pa.types.is_large_string(one.type)
        return one.cast(pa.large_binary())[0].as_py() if is_text else str(one)


def _cut(value: object) -> object:
    """Without what goes beyond 64 KiB."""
    return value[:MAX_RAW_BYTES] if isinstance(value, str | bytes) else value
