"""Errors of the one tree by the names of their classes, as another process tells them."""

from __future__ import annotations

from penstock.core import errors
from penstock.core.errors import InvalidInput, PenstockError


def error_class(name: str) -> type[PenstockError] | None:
    """The class of this name; None: there is none in the tree."""
    found = getattr(errors, name, None)
    is_ours = isinstance(found, type) and issubclass(found, PenstockError)
    return found if is_ours else None


def named_error(name: str, message: str, default: type[PenstockError]) -> PenstockError:
    """An error that another process had.

    Args:
        name: of its class.
        message: its text.
        default: its class where the name says nothing here; of one item of a batch nobody knows.
    """
    kind = error_class(name)
    return (default if kind is None or kind is InvalidInput else kind)(message)
