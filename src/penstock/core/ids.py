"""Who is meant: a version of a model, and the ways to ask for one."""

from __future__ import annotations

import os
from typing import NamedTuple


class ServableId(NamedTuple):
    """One version of one model.

    Attributes:
        name: the model's name, non-empty, no slash.
        version: >= 0; larger is newer.
    """

    name: str
    version: int

    def __str__(self) -> str:
        return f"'{self.name}' version {self.version}"


_MAX_VERSION_DIGITS = 18


class VersionChoice(NamedTuple):
    """Which version of a model a request wants: a number, a label, or (neither) the newest ready.

    Attributes:
        version: an exact version, which always wins; None: not given.
        label: a version label such as ``stable``; None: not given.
    """

    version: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> VersionChoice:
        """Read the text that stands where a version may stand: ``""``, ``"3"`` or ``"stable"``."""
        if not text:
            return LATEST
        if text.isdecimal() and len(text) <= _MAX_VERSION_DIGITS:
            return cls(version=int(text))
        return cls(label=text)


LATEST = VersionChoice()
"""The newest version that is ready."""


def new_request_id() -> str:
    """A random id for a request that brought none: 32 hex digits."""
    return os.urandom(16).hex()
