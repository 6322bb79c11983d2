"""Who is meant: a version of a model, and the ways to ask for one."""

from __future__ import annotations

import itertools
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

    def says(self, text: str) -> str:
        """A text about this version that names it, whether it did so before or not."""
        return text if text.startswith(str(self)) else f"{self}: {text}"


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


class RequestIds:
    """Makes ids for requests that bring none: 32 hex digits, unlike any other's.

    A random half for this source and a counter, so that no request pays for a system call.
    """

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}{next(self._numbers):016x}"
