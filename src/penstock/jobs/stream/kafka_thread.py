"""KafkaThread: where one of the library's clients lives, from its making to its end."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from penstock.jobs.stream.kafka_client import log

T = TypeVar("T")

LEAVE_S: Final = 30.0

_MAY_WAIT: Final = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class KafkaThread:
    """Makes calls one after the other, on a thread that keeps no process alive.

    Ending a client of librdkafka waits for threads of its own, now and then for ever (the library
    knows of several causes), and no signal ends that wait. So a client is let go of on its thread
    only: not by the event loop, nor by whoever ends the process.

    Args:
        name: the thread's.

    Concurrency: ``submit`` on any thread, the rest on an event loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._has_begun = self._has_ended = False

    def submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Have a call made when those before it are.

        Raises:
            RuntimeError: the thread has ended.
        """
        if self._has_ended:
            raise RuntimeError(f"the thread '{self._name}' has ended")
        if not self._has_begun:
            threading.Thread(target=self._make, name=self._name, daemon=True).start()
            self._has_begun = True
        made: Future[T] = Future()
        self._calls.put((partial(work, *args), made))
        return made

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """What a call brings; cancelled, it is not made where it has not begun.

        Raises:
            RuntimeError: the thread has ended.
            BaseException: what ``work`` raises.
        """
        return await asyncio.wrap_future(self.submit(work, *args))

    async def end(self, last: Callable[[], object], timeout_s: float = LEAVE_S) -> None:
        """Make a last call, that lets go of the client, and end. Once is enough.

        Where it does not come back in time, the log says so, and the thread is left to itself.

        Args:
            last: what to call.
            timeout_s: how long to wait for it and the calls before it, in seconds.

        Raises:
            BaseException: what ``last`` raises.
        """
        if self._has_ended or not self._has_begun:
            self._has_ended = True
            return
        made = self.submit(last)
        self._has_ended = True
        self._calls.put(None)
        ended = asyncio.wrap_future(made)
        ended.add_done_callback(lambda one: one.exception())  # it is told, or comes too late
        await asyncio.wait([ended], timeout=timeout_s)
        if ended.done():
            ended.result()
        else:
            log.warning("%s: the client has not ended, it is left to itself", self._name)

    def _make(self) -> None:
        while (task := self._calls.get()) is not None:
            work, made = task
            if made.set_running_or_notify_cancel():
                try:
                    made.set_result(work())
                except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
                    made.set_exception(err)
                    _forget_locals(err)
            del task, work, made  # what they hold is let go of here


def _forget_locals(err: BaseException) -> None:
    """Let go of the clients in the frames of an error here, not where it is let go of.

    Those of coroutines are left alone: one that waits would be closed.
    """
    one: BaseException | None = err
    while one is not None:
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if not frame.f_code.co_flags & _MAY_WAIT:
                with suppress(RuntimeError):  # it is not done
                    frame.clear()
        one = one.__cause__ or one.__context__
