"""How a process ended."""

from __future__ import annotations

import signal


def in_words(code: int) -> str:
    """An exit status, negative for a signal, in words that follow the process's name."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
