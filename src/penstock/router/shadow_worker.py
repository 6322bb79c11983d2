"""ShadowWorker: asks one model's shadow, compares and counts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container
from typing import NamedTuple

from penstock.core.clock import Clock
from penstock.core.eager import start
from penstock.core.errors import DeadlineExceeded, NotFound, NotReady, Overloaded
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature
from penstock.router.counts import PairCounts
from penstock.router.route import Shadow
from penstock.router.router import Lender
from penstock.router.shadow_book import ShadowBook
from penstock.router.shadow_comparer import ShadowComparer, pick
from penstock.router.shadow_copy import ShadowCopy, take_copy
from penstock.router.shadow_pace import Pace
from penstock.router.shadow_pump import ShadowPump

_log = logging.getLogger("penstock.router")

MAX_WAITING = 256
"""Copies that wait, whatever their size: more could not be asked in time, and each costs memory
that the garbage collector looks at."""

MAX_AT_ONCE = 4
"""Copies that are asked at once where the shadow computes off the event loop."""


class Surroundings(NamedTuple):
    """What the shadows of all models share.

    Attributes:
        lender: lends versions.
        in_flight: how many requests of clients are under way, in all models.
        pace: how much of the time may be used.
        clock: the server's time.
        loop: the event loop.
        draw: a random number from 0 to 1 (not 1 itself), for the sample.
        own: the functions that they may be told to compare with.
    """

    lender: Lender
    in_flight: Callable[[], int]
    pace: Pace
    clock: Clock
    loop: asyncio.AbstractEventLoop
    draw: Callable[[], float]
    own: Container[str] = ()


class ShadowWorker:
    """Keeps copies of one model's requests and asks the shadow, when nobody else wants the time.

    It has no task of its own: its pump calls for work, which is one copy where the shadow answers
    on the event loop, and a few at once where it computes elsewhere.

    Laws: at most ``max_bytes`` are held; each copy offered and sampled is counted once, as
    compared, as an error, as shed or as incomparable, unless it is closed before; nothing is
    raised, whatever the shadow or the comparison does.

    Args:
        model: the model's name.
        shadow: who is asked, and how.
        book: what is counted.
        around: what it shares with others.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, model: str, shadow: Shadow, book: ShadowBook, around: Surroundings) -> None:
        self.book = book
        self.held_bytes = 0
        self._model = model
        self._shadow = shadow
        self._around = around
        self._now_ns = around.clock.monotonic_ns
        self._waiting: deque[ShadowCopy] = deque()
        self._asking: dict[asyncio.Task[None], asyncio.TimerHandle] = {}
        self._began_ns = 0
        self._is_closed = False
        self._told: set[str] = set()
        self._pump = ShadowPump(
            self._work, around.in_flight, around.pace, around.loop, self._now_ns
        )
        self._comparer = ShadowComparer(shadow, around.own)
        self._loading: asyncio.Task[None] | None = None
        if not self._comparer.is_ready:
            self._loading = around.loop.create_task(self._load())

    def offer(self, request: InferRequest, response: InferResponse) -> None:
        """Keep a copy of a request that was answered, if it is sampled and there is room."""
        shadow, running = self._shadow, self.book.running
        if self._is_closed or (shadow.sample < 1 and self._around.draw() >= shadow.sample):
            return
        if self._comparer.fault:
            running.incomparable += 1
            return
        room_bytes = shadow.max_bytes - self.held_bytes
        if len(self._waiting) >= MAX_WAITING or room_bytes <= 0 or not self._comparer.is_ready:
            running.shed += 1
            return
        outputs = tuple(one for one in response.outputs if shadow.output in ("", one.name))
        if not outputs:
            running.incomparable += 1
            return
        copy = take_copy(request, outputs, room_bytes, self._now_ns())
        if copy is None:
            running.shed += 1
            return
        self.held_bytes += copy.num_bytes
        self._waiting.append(copy)
        if not self._asking:
            self._pump.wake()

    def counts(self) -> PairCounts:
        """What came of the copies so far, the caller's own."""
        self._shed_late(self._now_ns())
        return self.book.counts()

    def close(self) -> list[asyncio.Task[None]]:
        """Drop what waits and cancel what is asked.

        Returns:
            the tasks that will end for it.
        """
        self._is_closed = True
        self._pump.stop()
        for copy in self._waiting:
            self.held_bytes -= copy.num_bytes
        self._waiting.clear()
        ending = list(self._asking)
        if self._loading is not None and not self._loading.done():
            ending.append(self._loading)
        for task in ending:
            task.cancel()
        return ending

    async def _load(self) -> None:
        await self._comparer.load()
        if self._comparer.fault:
            self._tell("comparison", self._comparer.fault)

    # The work

    def _work(self) -> bool:
        """Ask the shadow for some; whether there is more to ask at once."""
        began_ns = self._now_ns()
        self._shed_late(began_ns)
        for _ in range(min(MAX_AT_ONCE, len(self._waiting))):
            copy = self._waiting.pop()  # the youngest: it is worth something for longest
            task = start(self._ask(copy), self._around.loop)
            if task is None:
                break
            self._watch(task, copy)
        if self._asking:
            self._began_ns = began_ns
            return False
        ended_ns = self._now_ns()
        self._around.pace.worked(ended_ns, ended_ns - began_ns)
        return bool(self._waiting)

    def _shed_late(self, now_ns: int) -> None:
        latest_ns = now_ns - int(self._shadow.timeout_s * 1e9)
        while self._waiting and self._waiting[0].at_ns <= latest_ns:
            self.held_bytes -= self._waiting.popleft().num_bytes
            self.book.running.shed += 1

    def _watch(self, task: asyncio.Task[None], copy: ShadowCopy) -> None:
        """End it by its deadline, and go on when the last one has ended."""
        left_s = self._shadow.timeout_s - (self._now_ns() - copy.at_ns) / 1e9
        self._asking[task] = self._around.loop.call_later(max(0.0, left_s), task.cancel)
        task.add_done_callback(lambda _: self._ended(task, copy))

    def _ended(self, task: asyncio.Task[None], copy: ShadowCopy) -> None:
        self._asking.pop(task).cancel()
        if task.cancelled() and not self._is_closed:
            self._timed_out(copy)
        if self._asking or self._is_closed:
            return
        ended_ns = self._now_ns()
        self._around.pace.worked(ended_ns, ended_ns - self._began_ns)
        if self._waiting:
            self._pump.wake()

    def _timed_out(self, copy: ShadowCopy) -> None:
        within = f"within {self._shadow.timeout_s:g} s"
        if not copy.is_answered:
            self.book.running.shed += 1
            self._tell("late", f"it gave no answer {within}")
            return
        self.book.running.incomparable += 1
        self._comparer.fault = f"compare: '{self._shadow.compare}' did not return {within}"
        self._tell("comparison", f"{self._comparer.fault}; it is not called again")

    # One copy

    async def _ask(self, copy: ShadowCopy) -> None:
        """Ask the shadow and compare; counts whatever comes of it."""
        try:
            answered = await self._answer(copy)
            if answered is not None:
                copy.is_answered = True
                await self._compare(copy, *answered)
        finally:
            self.held_bytes -= copy.num_bytes

    async def _answer(self, copy: ShadowCopy) -> tuple[InferResponse, ModelSignature] | None:
        """The shadow's answer and its signature; None: there is none, and it was counted."""
        shadow, running = self._shadow, self.book.running
        asked_ns = self._now_ns()
        try:
            choice = VersionChoice(version=shadow.version)
            handle = self._around.lender.handle(self._model, choice)
        except (NotFound, NotReady) as err:
            running.shed += 1
            self._tell("absent", err.message)
            return None
        with handle:
            try:
                request = copy.request(shadow.version, shadow.output, shadow.timeout_s)
                answer = await handle.servable.infer(request)
            except (Overloaded, DeadlineExceeded) as err:
                running.shed += 1
                self._tell("late", err.message)
                return None
            except Exception as err:  # noqa: BLE001  # whatever a version raises is counted
                running.errors += 1
                self._tell("error", f"{type(err).__name__}: {err}")
                return None
            self.book.answered((self._now_ns() - asked_ns) / 1e9)
            return answer, handle.servable.signature

    async def _compare(
        self, copy: ShadowCopy, answer: InferResponse, signature: ModelSignature
    ) -> None:
        try:
            pair = pick(copy.outputs, answer)
            found = await self._comparer.compare(pair, signature)
        except Exception as err:  # noqa: BLE001  # a user's own comparison may raise anything
            self.book.running.incomparable += 1
            self._tell("comparison", f"the answers cannot be compared: {err!r}")
            return
        self.book.running.comparison = self._comparer.name
        self.book.compared(copy, pair, found, self._around.clock.wall_ns() // 1_000_000)
        if found.why:
            self._tell("form", found.why)

    def _tell(self, kind: str, text: str) -> None:
        """Log trouble, the first of its kind only."""
        if kind not in self._told:
            self._told.add(kind)
            fields = {"model": self._model, "version": self._shadow.version}
            prefix = f"shadow '{self._model}' version {self._shadow.version}"
            _log.warning("%s: %s; further cases are only counted", prefix, text, extra=fields)
