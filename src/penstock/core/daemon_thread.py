"""A thread of its own for work that may hang, and that no process should wait for at its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Raised(NamedTuple):
    error: BaseException


class _Handover(Generic[T]):
    """Sees that what a thread made has one owner: whoever waits for it, or ``drop``.

    Concurrency: any thread.
    """

    def __init__(self, name: str, drop: Callable[[T], None] | None) -> None:
        self._name = name
        self._drop = drop
        self._lock = threading.Lock()
        self._is_wanted = True
        self._made: list[T] = []

    def offer(self, made: T) -> bool:
        """Have it ready for whoever waits; False: nobody does, and it has been dropped."""
        with self._lock:
            if self._is_wanted:
                self._made.append(made)
                return True
        self._dispose(made)
        return False

    def refuse(self) -> None:
        """Nobody waits any more; what is ready is dropped on a thread of its own."""
        with self._lock:
            self._is_wanted = False
            made, self._made = self._made, []
        if made:
            threading.Thread(
                target=self._dispose, args=made, name=f"{self._name}-drop", daemon=True
            ).start()

    def _dispose(self, made: T) -> None:
        if self._drop is None:
            return
        try:
            self._drop(made)
        except BaseException:  # noqa: BLE001  # there is nobody left to tell
            _log.exception("what the thread '%s' made could not be given back", self._name)


async def on_daemon_thread(
    work: Callable[[], T], name: str, *, drop: Callable[[T], None] | None = None
) -> T:
    """Do blocking work on a thread that ends with the process, done or not.

    The threads of an executor keep the process alive until they are done. Cancelled, the thread
    is left to itself.

    Law: what ``work`` gives is returned, or given to ``drop`` as soon as it is there; never both.

    Args:
        work: what to do.
        name: the thread's.
        drop: gives back what ``work`` made for nobody, called on a thread; may block. None: it
            is forgotten.

    Raises:
        BaseException: what ``work`` raises.
    """
    loop = asyncio.get_running_loop()
    handover = _Handover(name, drop)
    done: asyncio.Future[T | _Raised] = loop.create_future()

    def run() -> None:
        answer: T | _Raised
        try:
            answer = work()
        except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
            answer = _Raised(err)
        if not isinstance(answer, _Raised) and not handover.offer(answer):
            return
        try:
            loop.call_soon_threadsafe(_complete, done, answer)
        except RuntimeError:  # the loop is closed: nobody waits any more
            handover.refuse()

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        answer = await done
    except (asyncio.CancelledError, GeneratorExit):
        handover.refuse()
        raise
    if isinstance(answer, _Raised):
        raise answer.error
    return answer


def _complete(done: asyncio.Future[T], answer: T) -> None:
    if not done.done():
        done.set_result(answer)
