"""A blocking call that is waited for only so long."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")


class _Answer(NamedTuple, Generic[T]):
    """What came of a call: a value, or an error."""

    value: T | None = None
    error: BaseException | None = None


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """Do ``work`` on a thread of its own and wait for it. Blocks.

    Clients of stores have time-outs of many kinds, and some have none. A thread that hangs is
    left to itself and ends with the process.

    Raises:
        TimeoutError: it took longer than ``timeout_s`` seconds.
        Exception: what ``work`` raises.
    """
    answers: queue.SimpleQueue[_Answer[T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            value = work()
        except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
            answers.put(_Answer(error=err))
        else:
            answers.put(_Answer(value))

    threading.Thread(target=run, name="penstock-remote", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
    if answer.error is not None:
        raise answer.error
    return cast(T, answer.value)
