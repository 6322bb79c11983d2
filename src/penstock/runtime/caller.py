"""Caller: for which model, and until when, the thread at hand computes."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

from penstock.core.ids import ServableId


class Caller(NamedTuple):
    """A version that computes a batch on its instance's thread.

    Attributes:
        id: which.
        deadline_ns: when the last of the batch's requests is due; None: it is not known.
    """

    id: ServableId
    deadline_ns: int | None


CALLER: Final[ContextVar[Caller | None]] = ContextVar("penstock_caller", default=None)
"""Set by an instance on its own thread; None elsewhere, so also during a warm-up."""
