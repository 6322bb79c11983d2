"""A thread of its own for work that may hang, and that no process should wait for at its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _Raised(NamedTuple):
    error: BaseException


async def on_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Do blocking work on a thread that ends with the process, done or not.

    The threads of an executor keep the process alive until they are done. Cancelled, the thread
    is left to itself and what it gives is dropped.

    Args:
        work: what to do.
        name: the thread's.

    Raises:
        BaseException: what ``work`` raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T | _Raised] = loop.create_future()

    def run() -> None:
        answer: T | _Raised
        try:
            answer = work()
        except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
            answer = _Raised(err)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_complete, done, answer)

    threading.Thread(target=run, name=name, daemon=True).start()
    answer = await done
    if isinstance(answer, _Raised):
        raise answer.error
    return answer


def _complete(done: asyncio.Future[T], answer: T) -> None:
    if not done.done():
        done.set_result(answer)
