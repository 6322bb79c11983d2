"""When an arm's first batch began, and when its output was there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


def mark_first(folder: str) -> None:
    """Leave the present time in `folder`: this process begins its first batch."""
    mark = Path(folder, f"first-{os.getpid()}")
    if not mark.exists():
        mark.write_text(repr(time.time()))


def first_mark(folder: str) -> float:
    """Return when the first batch of all processes began; ValueError when none did."""
    return min(float(path.read_text()) for path in Path(folder).glob("first-*"))


def tell(asked: float, begun: float, ended: float) -> None:
    """Print when the work was asked for, begun and done, in seconds since the epoch."""
    print(json.dumps({"asked": asked, "begun": begun, "ended": ended}), flush=True)
