"""prediction_id: the name of a prediction, the same each time it is made. Pure."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec

from penstock.jobs.stream.record import Record

_OF_PREDICTIONS: Final = uuid.UUID("6f1f4bd5-7e4e-5b0b-9a55-0c5d0f2c7e0a")
_OF_DEAD_LETTERS: Final = uuid.UUID("a7a9e7c2-39a4-5d3f-8f0d-6f1f5f0e5b11")
_encode: Final = msgspec.json.Encoder().encode


def prediction_id(record: Record, model: str, version: int, variant: str = "") -> str:
    """The id of what a version of a model says of a record.

    Law: two ids are equal if and only if stream, partition, position, model, version and variant
    are.

    Args:
        record: what is predicted.
        model: the model's name.
        version: the version that answers.
        variant: of the model's route; "": there is none.

    Returns:
        a UUID of version 5, as text.
    """
    parts = (record.stream, record.partition, record.position, model, version, variant)
    return str(uuid.uuid5(_OF_PREDICTIONS, _encode(parts).decode()))


def dead_letter_id(record: Record) -> str:
    """The id of a record's dead letter: one, whyever it died; as ``prediction_id`` otherwise."""
    parts = (record.stream, record.partition, record.position)
    return str(uuid.uuid5(_OF_DEAD_LETTERS, _encode(parts).decode()))
