"""What breaks a job though nobody had thought of it: told in words, and where it happened. Pure."""

from __future__ import annotations

import traceback
from pathlib import Path

from penstock.core.errors import JobFailed


def broken(error: Exception, where: str = "") -> JobFailed:
    """The failure of a job that an unexpected exception ends.

    Args:
        error: what was raised.
        where: what was being done, as people read it; "": it is not known.
    """
    doing = f"{where}: " if where else ""
    if isinstance(error, MemoryError):
        return JobFailed(
            f"{doing}no memory is left; give the job less 'memory' or fewer 'workers', and run it "
            f"again",
            retryable=True,
        )
    if isinstance(error, OSError):
        return JobFailed(f"{doing}the system refuses: {error.strerror or error}", retryable=True)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return JobFailed(
        f"{doing}{type(error).__name__}: {error}{place}; nobody expected this: it is a bug of "
        f"Penstock or of a library, please report it"
    )
