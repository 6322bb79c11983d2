"""Beside a run: tells how far it is, and hears whether it shall stop, or must."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.core.errors import JobFailed
from penstock.jobs.batch.board import SplitBoard
from penstock.jobs.batch.output_hold import CheckHold
from penstock.jobs.batch.progress import OnProgress

_EVERY_S = 0.1


@contextmanager
def watched(
    board: SplitBoard, on_progress: OnProgress | None, cancel: threading.Event, check: CheckHold
) -> Iterator[None]:
    """Watch a board while the body runs; the last word on progress is that of its end.

    Args:
        board: the run's.
        on_progress: told how far it is; None: nobody is.
        cancel: once set, the board is cancelled.
        check: what it raises fails the board.
    """
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(_EVERY_S):
            if cancel.is_set():
                board.cancel()
                return
            try:
                check()
            except JobFailed as err:
                board.fail(err)
                return
            if on_progress is not None:
                on_progress(board.progress())

    thread = threading.Thread(target=look, name="penstock-job-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        if on_progress is not None:
            on_progress(board.progress())
