"""Where a user's code raised: for those who run it, never for a client."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

_OURS: Final = Path(__file__).parents[1]


def raised_at(error: BaseException) -> str:
    """``FILE.py:LINE`` of the innermost frame that is neither ours nor a library's; "": there is
    none, as of a file that cannot be compiled.
    """
    others = [_OURS, *map(Path, sysconfig.get_paths().values())]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = Path(frame.f_code.co_filename)
        is_library = {"site-packages", "dist-packages"} & {*path.parts}
        if path.is_absolute() and not is_library and not any(map(path.is_relative_to, others)):
            return f"{path.name}:{line}"
    return ""
