"""ByteSize: a number of bytes as people write it, and as they read it."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_UNITS |= {f"{letter}i": 1024**power for power, letter in enumerate("kmgt", start=1)}
_TEXT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE | re.ASCII)
_LARGEST = 2**63 - 1
_SHOWN_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class ByteSize(int):
    """A number of bytes, written as a number or as text such as ``256MiB``, ``1.5 GB``, ``64k``."""

    @classmethod
    def parse(cls, value: object) -> ByteSize:
        """Read a size as a configuration file may hold it.

        Args:
            value: a whole number of bytes, or text: a number and a unit. ``k M G T`` count in
                thousands, ``Ki Mi Gi Ti`` in 1024s; upper or lower case, with or without ``B``.

        Returns:
            The size in bytes, >= 0, rounded up to a whole byte.

        Raises:
            ValueError: it is neither, it is negative, or it is beyond 2**63 - 1.
        """
        num_bytes = _from_text(value) if isinstance(value, str) else value
        if type(num_bytes) not in (int, cls) or not isinstance(num_bytes, int):
            raise ValueError("neither a whole number nor text")
        if not 0 <= num_bytes <= _LARGEST:
            raise ValueError("out of range")
        return cls(num_bytes)


def show_bytes(num_bytes: int, *, round_up: bool = False) -> str:
    """A size for people, to a tenth of its unit: ``512 B``, ``1.5 KiB``, ``20 MiB``.

    Law: where ``more > less``, ``show_bytes(more, round_up=True)`` and ``show_bytes(less)`` differ,
    so that "needs more than there is" never reads as "needs 10 MiB of 10 MiB".

    Args:
        num_bytes: >= 0.
        round_up: up where it is not exact, else down.
    """
    power = min((max(num_bytes, 1).bit_length() - 1) // 10, len(_SHOWN_UNITS) - 1)
    tenths, rest = divmod(num_bytes * 10, 1024**power)
    whole, tenth = divmod(tenths + (round_up and rest > 0), 10)
    return f"{whole}{f'.{tenth}' if tenth else ''} {_SHOWN_UNITS[power]}"


def _from_text(text: str) -> int:
    """Number of bytes of ``1.5 GB``.

    Raises:
        ValueError: not a number with a known unit.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("not a size")
    number, unit = match.groups()
    factor = _UNITS[(unit or "").lower()]
    return int(number) * factor if number.isdecimal() else math.ceil(float(number) * factor)
