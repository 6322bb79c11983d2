"""Instance: one copy of a model with something to run it on.

The scheduler knows only the protocol, so that a copy may live on a thread (here) or in a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import InvalidInput, ModelFailed, NotReady, PenstockError
from penstock.core.ids import ServableId
from penstock.core.messages import Parameter
from penstock.core.raised_at import raised_at
from penstock.core.tensor import Tensor
from penstock.runtime.caller import CALLER, Caller
from penstock.runtime.executable import Executable, ExecuteResult, declared_bytes
from penstock.runtime.model_fault import log_fields, report

_log = logging.getLogger("penstock.runtime")

T = TypeVar("T")

_CLOSE_TIMEOUT_S = 10.0


class Work(msgspec.Struct, frozen=True):
    """One batch to compute.

    Attributes:
        inputs: merged tensors.
        parameters: what all requests of the batch share.
        deadline_ns: when nobody waits for the result any more; None: it is not known.
    """

    inputs: Sequence[Tensor]
    parameters: Mapping[str, Parameter]
    deadline_ns: int | None = None


class Execution(msgspec.Struct, frozen=True):
    """One batch computed.

    Attributes:
        result: the outputs, or the error that all of the batch share.
        started_ns, ended_ns: monotonic nanoseconds around the model's own time.
    """

    result: ExecuteResult | PenstockError
    started_ns: int
    ended_ns: int


class Instance(Protocol):
    """One copy of a model. It computes one piece of work at a time."""

    @property
    def can_inline(self) -> bool:
        """Whether ``run`` may be called on the event loop."""
        ...

    @property
    def takes_ahead(self) -> bool:
        """Whether it may be given its next work while it computes; it keeps their order."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it takes work now; a copy in a process may have died and be on its way back."""
        ...

    @property
    def fault(self) -> NotReady | None:
        """Why it will not take work for long; None: it does, or will soon."""
        ...

    @property
    def deaths(self) -> int:
        """How often what runs the copy has died."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Whether what runs the copy is at another process's work now: ours would have to wait."""
        ...

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have ``on_change`` called, on the event loop, when one of these changes."""
        ...

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Compute elsewhere; ``on_done`` is called on the event loop's thread.

        Concurrency: event loop's thread; only while it is ready and has no other work, or one
        where it ``takes_ahead``.
        """
        ...

    def run(self, work: Work) -> Execution:
        """Compute, and wait for it; only while no work is under way.

        Concurrency: where it may not run inline, on any thread but the event loop's.
        """
        ...

    async def close(self) -> None:
        """Wait for the work under way, then give everything back."""
        ...


class ThreadInstance:
    """A copy that computes on a thread of its own.

    A thread cannot be killed: work that hangs keeps its instance until it returns; the
    scheduler answers the requests at their deadline all the same.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        executable: Executable,
        loop: asyncio.AbstractEventLoop,
        clock: Clock | None = None,
    ) -> None:
        self._id = id
        self._executable = executable
        self._loop = loop
        self._now_ns = (clock or SystemClock()).monotonic_ns
        self._stopped = asyncio.Event()
        self._inbox: queue.SimpleQueue[tuple[Work, Callable[[Execution], None]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    @property
    def can_inline(self) -> bool:
        """Whether the model only computes."""
        return self._executable.inline_safe

    @property
    def takes_ahead(self) -> bool:
        """Always: what waits for the thread waits in order."""
        return True

    @property
    def memory_bytes(self) -> int | None:
        """What its executable says it holds in memory; None: it does not know."""
        return declared_bytes(self._executable)

    @property
    def is_ready(self) -> bool:
        """Always."""
        return True

    @property
    def fault(self) -> None:
        """Never."""
        return

    @property
    def deaths(self) -> int:
        """None: with its thread dies the server."""
        return 0

    @property
    def is_elsewhere(self) -> bool:
        """Never: its thread is ours alone."""
        return False

    def watch(self, on_change: Callable[[], None]) -> None:
        """Nothing ever changes."""

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Compute on the instance's thread, which starts with its first work."""
        if self._thread is None:
            thread = threading.Thread(
                target=self._work, name=f"penstock-{self._id.name}-{self._id.version}", daemon=True
            )
            thread.start()
            self._thread = thread
        self._inbox.put((work, on_done))

    def run(self, work: Work) -> Execution:
        """Compute on the caller's thread. Whatever the model raises is the result.

        Raises:
            KeyboardInterrupt: of the process's user, on its main thread.
        """
        return execute_safely(self._id, self._executable, work, self._now_ns)

    async def close(self) -> None:
        """Stop the thread after its work, then close the executable.

        Work that has not returned after ``_CLOSE_TIMEOUT_S`` is left to itself with its memory.
        """
        if self._thread is not None:
            self._inbox.put(None)
            try:
                await asyncio.wait_for(self._stopped.wait(), _CLOSE_TIMEOUT_S)
            except TimeoutError:
                _log.error("%s hangs; its thread and memory are left behind", self._id)
                return
        self._executable.close()

    def _work(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            while (item := self._inbox.get()) is not None:
                work, on_done = item
                CALLER.set(Caller(self._id, work.deadline_ns))
                execution = self.run(work)
                self._loop.call_soon_threadsafe(on_done, execution)
                del item, work, on_done, execution
            self._loop.call_soon_threadsafe(self._stopped.set)


def execute_safely(
    id: ServableId,  # noqa: A002  # the field's name everywhere
    executable: Executable,
    work: Work,
    now_ns: Callable[[], int],
) -> Execution:
    """Compute one batch on this thread; whatever the model raises is the result, and logged.

    Raises:
        KeyboardInterrupt: of the process's user, on its main thread.
    """
    started_ns = now_ns()
    result = run_safely(id, lambda: executable.execute(work.inputs, work.parameters))
    return Execution(result, started_ns, now_ns())


def run_safely(
    id: ServableId,  # noqa: A002  # the field's name everywhere
    compute: Callable[[], T],
) -> T | ExecuteResult | PenstockError:
    """Run a model's code on this thread; whatever it raises is the result, and logged.

    Raises:
        KeyboardInterrupt: of the process's user, on its main thread.
    """
    try:
        return _run_typed(id, compute)
    except BaseException as err:  # the edge to the model's code
        if _is_users(err):
            raise
        _log.error("%s raised", id, exc_info=err, extra=log_fields(id))
        text = f"model {id} failed: {type(err).__name__}: {_text_of(err)}"
        failure = ModelFailed(text, is_reported=True)
        failure.place = raised_at(err)
        return failure


def _run_typed(
    id: ServableId,  # noqa: A002  # the field's name everywhere
    compute: Callable[[], T],
) -> T | ExecuteResult | PenstockError:
    try:
        return compute()
    except InvalidInput as err:
        return ExecuteResult((), {err.index: err})
    except PenstockError as err:
        report(id, err)
        return err


def _is_users(error: BaseException) -> bool:
    """Whether it is Ctrl-C, which Python raises on the main thread, and no model's doing."""
    on_main = threading.current_thread() is threading.main_thread()
    return on_main and isinstance(error, KeyboardInterrupt)


def _text_of(error: BaseException) -> str:
    """Its text, even where its own ``__str__`` raises."""
    return str(traceback.TracebackException(type(error), error, None, limit=0))
