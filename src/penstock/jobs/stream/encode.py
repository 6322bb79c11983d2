"""Encoder: a model's answer of a record becomes what is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument, PenstockError
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.jobs.stream.columns import Row
from penstock.jobs.stream.prediction_id import prediction_id
from penstock.jobs.stream.record import Produced, Record
from penstock.repository.manifest_shape import nearest

ID: Final = "penstock-id"
MODEL: Final = "penstock-model"
VERSION: Final = "penstock-version"
VARIANT: Final = "penstock-variant"
SOURCE: Final = "penstock-source"

MakeValue: TypeAlias = Callable[[Any, Record], Any]
"""A user's own: the answer (one mapping, or a list of them) and its record to what is sent: bytes,
text, or what becomes JSON; None: nothing is."""

_to_json: Final = msgspec.json.Encoder().encode


class Answerer(msgspec.Struct, frozen=True):
    """Who answered.

    Attributes:
        model: the model's name.
        version: its version.
        variant: of its route; "": there is none.
    """

    model: str
    version: int
    variant: str = ""


class Encoder:
    """Makes what is sent: a JSON object per row, output name to value, and headers that name the
    prediction, the model, its version and the record.

    Args:
        keep: fields of the row that go along.
        rename: an output's name to the one in the object.
        make_value: a user's own; None: JSON.
    """

    def __init__(
        self,
        keep: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        make_value: MakeValue | None = None,
    ) -> None:
        self._keep = tuple(keep)
        self._rename = dict(rename or {})
        self._make_value = make_value

    def check(self, signature: ModelSignature) -> None:
        """See that the names fit a model.

        Raises:
            ConfigError: ``rename`` names an output that the model does not have.
        """
        outputs = [spec.name for spec in signature.outputs]
        for name in self._rename:
            if name not in outputs:
                raise ConfigError(
                    f"rename: the model has no output '{name}': {nearest(name, outputs)}"
                )

    def answers(
        self, outputs: Sequence[Tensor], signature: ModelSignature, rows: Sequence[Row]
    ) -> list[Row]:
        """One object for each row.

        Args:
            outputs: tensors ``[rows, ...]``.
            signature: the model's, for the form of its outputs.
            rows: what came.

        Raises:
            InvalidArgument: a row lacks a field to be kept; an output is not text in UTF-8.
        """
        names = [self._rename.get(tensor.name, tensor.name) for tensor in outputs]
        columns = [_column(tensor, signature) for tensor in outputs]
        answers = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if self._keep:
            for answer, row in zip(answers, rows, strict=True):
                answer.update(self._kept(row))
        return answers

    def produced(self, record: Record, answer: Row | list[Row], who: Answerer) -> Produced | None:
        """What is sent for one record; None: nothing is.

        Raises:
            InvalidArgument: the user's own function raised, or gave what JSON cannot hold.
        """
        value = _to_json(answer) if self._make_value is None else self._made(answer, record)
        if value is None:
            return None
        id_ = prediction_id(record, who.model, who.version, who.variant)
        headers = dict(record.headers)
        headers[ID] = id_.encode()
        headers[MODEL] = who.model.encode()
        headers[VERSION] = b"%d" % who.version
        headers[SOURCE] = source_of(record)
        if who.variant:
            headers[VARIANT] = who.variant.encode()
        return Produced(id_, value, record.key, headers, record)

    def _kept(self, row: Row) -> Row:
        try:
            return {name: row[name] for name in self._keep}
        except KeyError as err:
            raise InvalidArgument(f"keep: the field {err} is missing") from err

    def _made(self, answer: Row | list[Row], record: Record) -> bytes | None:
        assert self._make_value is not None  # noqa: S101 - its only caller has looked
        try:
            value = self._make_value(answer, record)
            if value is None or isinstance(value, bytes):
                return value
            return value.encode() if isinstance(value, str) else _to_json(value)
        except PenstockError:
            raise
        except Exception as err:  # a user's code raises what it likes
            raise InvalidArgument(f"encode raised {type(err).__name__}: {err}") from err


def source_of(record: Record) -> bytes:
    """Which record it was, for a header: stream, partition and position."""
    return f"{record.stream}/{record.partition}/{record.position}".encode()


def _column(tensor: Tensor, signature: ModelSignature) -> list[Any]:
    """One value for each row; one element where the model says a list of one."""
    array = tensor.array
    spec = signature.output(tensor.name)
    if spec is not None and array.ndim == 2 and spec.shape[1:] == (1,) == array.shape[1:]:
        array = array.reshape(-1)
    values: list[Any] = array.tolist()
    if tensor.dtype is not DType.BYTES:
        return values
    try:
        return [_text(value) for value in values]
    except UnicodeDecodeError as err:
        raise InvalidArgument(
            f"output '{tensor.name}' is not text in UTF-8: encode it with a function of your own"
        ) from err


def _text(value: Any) -> Any:
    return [_text(one) for one in value] if isinstance(value, list) else value.decode()
