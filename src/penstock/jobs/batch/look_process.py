"""The first look in a process of its own: a model that ends its process does not end the runner."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

from penstock.core.errors import Cancelled, JobFailed, PenstockError
from penstock.core.exit_status import in_words
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.first_look import FirstLook, look
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.work import Work
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_in, error_out
from penstock.runtime.process.worker_signals import leave_the_end_to_the_server

_LOOK_S = 0.1


def look_in_a_process(
    parts: JobParts, plan: Sequence[Work], options: RunOptions, stop: threading.Event
) -> FirstLook:
    """See ``look``; it is done here where the options do not say ``looks_apart``, where the batch
    size is given, or where the job cannot be sent.

    Raises:
        Cancelled: it was stopped.
        JobFailed: the process ended under it.
        PenstockError: see ``look``.
    """
    if not options.looks_apart or options.batch_rows is not None or options.open_parts is None:
        return look(parts, plan, options, stop)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_look_there, args=(theirs, plan, options), name="penstock-job-look"
    )
    process.start()
    theirs.close()
    try:
        while not wait([ours, process.sentinel], _LOOK_S):
            if stop.is_set():
                raise Cancelled("the job was stopped before it began; run it again")
        found = _received(ours)
        if isinstance(found, WireError):
            raise error_in(found)
        if isinstance(found, FirstLook):
            return found
        process.join()
        raise JobFailed(
            f"the process that tried the model on the first rows, for the fastest batch size, "
            f"{in_words(process.exitcode or 0)}; mend the model, or set 'batch_size' and find the "
            f"row: a split that ends its workers is named"
        )
    finally:
        process.kill()
        process.join()
        ours.close()


def _received(connection: Connection) -> object:
    """What was said; None: nothing, and nothing will be."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _look_there(connection: Connection, plan: Sequence[Work], options: RunOptions) -> None:
    """The life of the process: it looks, says what it saw, and ends with the runner."""
    leave_the_end_to_the_server()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        found: FirstLook | WireError = _looked(plan, options)
    except PenstockError as err:
        found = error_out(err)
    except Exception as err:  # noqa: BLE001  # the runner tells of it, in words
        found = error_out(broken(err, "the look at the first rows"))
    connection.send(found)


def _looked(plan: Sequence[Work], options: RunOptions) -> FirstLook:
    assert options.open_parts is not None  # noqa: S101 - its only caller has looked
    parts = options.open_parts()
    try:
        return look(parts, plan, options, threading.Event())
    finally:
        parts.close()


def _end_with(connection: Connection) -> None:
    """Wait for the runner's end: it never says a word."""
    _received(connection)
    os._exit(1)
