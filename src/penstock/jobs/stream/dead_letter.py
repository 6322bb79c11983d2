"""Dead letters: records that cannot be predicted, as they came, with why. Pure."""

from __future__ import annotations

from typing import Final

from penstock.core.errors import PenstockError
from penstock.jobs.stream.encode import ID, MODEL, source_of
from penstock.jobs.stream.prediction_id import dead_letter_id
from penstock.jobs.stream.record import Produced, Record

ERROR: Final = "penstock-error"
CODE: Final = "penstock-error-code"
DELIVERIES: Final = "penstock-deliveries"
DEAD_SOURCE: Final = "penstock-dead-source"

_MAX_TEXT_BYTES = 2000


def dead_letter(record: Record, error: PenstockError, model: str) -> Produced:
    """A record's dead letter: its own key, value and headers, so that it can be sent again.

    Args:
        record: what cannot be predicted.
        error: why.
        model: the model's name.
    """
    id_ = dead_letter_id(record)
    headers = dict(record.headers)
    headers[ID] = id_.encode()
    headers[MODEL] = model.encode()
    headers[CODE] = str(error.code).encode()
    headers[ERROR] = " ".join(error.message.split()).encode()[:_MAX_TEXT_BYTES]
    headers[DELIVERIES] = b"%d" % record.deliveries
    headers[DEAD_SOURCE] = source_of(record)
    return Produced(id_, record.value, record.key, headers, record)
