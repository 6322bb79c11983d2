"""What a worker does with signals: the server decides when it ends."""

from __future__ import annotations

import os
import signal
from types import FrameType


def leave_the_end_to_the_server() -> None:
    """From now on SIGINT and SIGTERM do nothing here: a signal to all processes of a server would
    end a worker under its requests. The server ends it by closing its socket, or by SIGKILL.

    Processes that the model starts end of SIGTERM as ever. Main thread only.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _nothing)  # unlike SIG_IGN no legacy to other programs
    signal.siginterrupt(signal.SIGTERM, False)
    os.register_at_fork(after_in_child=_end_of_sigterm)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Take no notice of a signal."""


def _end_of_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _nothing:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
