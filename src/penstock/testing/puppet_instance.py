"""PuppetInstance: a copy of a model that computes when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import ModelCrashed, NotReady, PenstockError
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work

Answer = Callable[[Work], "ExecuteResult | PenstockError"]


def echo(work: Work) -> ExecuteResult:
    """The identity: each input comes back as the output of its name."""
    return ExecuteResult(tuple(work.inputs))


class PuppetInstance:
    """An ``Instance`` that holds its work until it is pulled.

    Args:
        answer: what it computes, unless the pull says otherwise.
        can_inline: whether ``run`` may be called; it then answers at once.
        takes_ahead: whether it takes its next work while it holds one.
        clock: what the times of an execution are read from.

    Attributes:
        works: everything it was given, in order, inline work included.
        num_inline: how much of it was run inline.
        is_closed: whether it was closed.
        deaths: how often the test took it down.
        is_elsewhere: whether it pretends to be at another process's work.
        violations: each breach of the Instance's law by its caller, in words; empty is right.

    Concurrency: one event loop's thread.
    """

    def __init__(
        self,
        answer: Answer = echo,
        *,
        can_inline: bool = False,
        takes_ahead: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.works: list[Work] = []
        self.num_inline = 0
        self.is_closed = False
        self.violations: list[str] = []
        self._answer = answer
        self._can_inline = can_inline
        self.takes_ahead = takes_ahead
        self._now_ns = (clock or SystemClock()).monotonic_ns
        self._started_ns = 0
        self._held: list[tuple[Work, Callable[[Execution], None]]] = []
        self._changed = asyncio.Event()
        self.deaths = 0
        self.is_elsewhere = False
        self._is_down = False
        self._fault: NotReady | None = None
        self._on_change: Callable[[], None] | None = None

    @property
    def can_inline(self) -> bool:
        """What the test said."""
        return self._can_inline

    @property
    def is_ready(self) -> bool:
        """Whether the test has not taken it down."""
        return not self._is_down

    @property
    def fault(self) -> NotReady | None:
        """What the test gave ``take_down``."""
        return self._fault

    def watch(self, on_change: Callable[[], None]) -> None:
        """Keep whom to tell."""
        self._on_change = on_change

    def take_down(self, fault: NotReady | None = None) -> None:
        """It is not ready any more, with or without a fault; work at hand ends as a crash."""
        self._is_down, self._fault = True, fault
        self.deaths += 1
        if self._on_change is not None:
            self._on_change()
        while self._held:
            self.finish(ModelCrashed("the puppet was taken down"))

    def bring_up(self) -> None:
        """It is ready again."""
        self._is_down, self._fault = False, None
        if self._on_change is not None:
            self._on_change()

    @property
    def is_busy(self) -> bool:
        """Whether it holds work that waits for a pull."""
        return bool(self._held)

    @property
    def rows(self) -> list[int]:
        """The rows of each work so far."""
        return [work.inputs[0].shape[0] for work in self.works]

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Take the work and hold it."""
        self._enter("submit", may_hold=2 if self.takes_ahead else 1)
        self.works.append(work)
        if not self._held:
            self._started_ns = self._now_ns()
        self._held.append((work, on_done))
        self._changed.set()

    def run(self, work: Work) -> Execution:
        """Answer at once."""
        self._enter("run")
        if not self._can_inline:
            self.violations.append("run of a copy that may not run inline")
        self.works.append(work)
        self.num_inline += 1
        started_ns = self._now_ns()
        return Execution(self._answer(work), started_ns, self._now_ns())

    async def close(self) -> None:
        """Wait for the work at hand."""
        while self._held:
            await self._wait()
        self.is_closed = True

    async def wait_until_busy(self) -> Work:
        """The work at hand, waiting for it where there is none yet."""
        while not self._held:
            await self._wait()
        return self._held[0][0]

    def finish(self, result: ExecuteResult | PenstockError | None = None) -> None:
        """End the work at hand; None: with what ``answer`` computes of it."""
        if not self._held:
            raise AssertionError("nothing waits for this string to be pulled")
        work, on_done = self._held.pop(0)
        self._changed.set()
        if result is None:
            result = self._answer(work)
        started_ns, self._started_ns = self._started_ns, self._now_ns()
        on_done(Execution(result, started_ns, self._now_ns()))

    def _enter(self, what: str, may_hold: int = 1) -> None:
        if len(self._held) >= may_hold:
            self.violations.append(f"{what} while busy")
        if self.is_closed:
            self.violations.append(f"{what} after close")

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
