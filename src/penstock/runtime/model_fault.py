"""What a model did wrong: named in the error its clients get, and once in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from penstock.core.errors import ModelFailed, PenstockError
from penstock.core.ids import ServableId

_log = logging.getLogger("penstock.runtime")


def log_fields(id: ServableId) -> Mapping[str, object]:  # noqa: A002  # the field's name everywhere
    """What a log record about a version carries as ``extra``."""
    return {"model": id.name, "version": id.version}


def report(id: ServableId, error: PenstockError) -> None:  # noqa: A002  # as above
    """Put the version's name into the text of a ModelFailed and log it, once in its life.

    Every other error is left alone.
    """
    if not isinstance(error, ModelFailed) or error.is_reported:
        return
    error.message = id.says(error.message)
    error.args = (error.message,)
    error.is_reported = True
    _log.error("%s", error.message, extra=log_fields(id))
