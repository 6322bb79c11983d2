"""One question to a process of its own: where that ends without an answer, the asker goes on."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import TypeVar, cast

from penstock.core.errors import Cancelled, PenstockError
from penstock.core.exit_status import in_words
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_in, error_out
from penstock.runtime.process.worker_signals import leave_the_end_to_the_server

T = TypeVar("T")

_LOOK_S = 0.1


def answer_apart(
    work: Callable[[], T],
    stop: threading.Event,
    ended: Callable[[str], PenstockError],
    *,
    name: str,
) -> T:
    """Call it in a process that ends then, or with this one.

    Args:
        work: what to call; it, and what it returns, can be pickled; never None.
        stop: ends the waiting.
        ended: what to raise where the process ended without an answer, given how, in words.
        name: the process's.

    Raises:
        Cancelled: it was stopped.
        PenstockError: ``work`` raised it; or see ``ended``.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work), name=name)
    process.start()
    theirs.close()
    try:
        while not wait([ours, process.sentinel], _LOOK_S):
            if stop.is_set():
                raise Cancelled("the job was stopped before it began; run it again")
        told = _received(ours)
        if isinstance(told, WireError):
            raise error_in(told)
        if told is None:
            process.join()
            raise ended(in_words(process.exitcode or 0))
        return cast(T, told)
    finally:
        process.kill()
        process.join()
        ours.close()


def _answer(connection: Connection, work: Callable[[], object]) -> None:
    """The life of the process."""
    leave_the_end_to_the_server()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        told = work()
    except PenstockError as err:
        told = error_out(err)
    connection.send(told)


def _end_with(connection: Connection) -> None:
    """Wait for the asker's end: it never says a word."""
    _received(connection)
    os._exit(1)


def _received(connection: Connection) -> object:
    """What was said; None: nothing, and nothing will be."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None
