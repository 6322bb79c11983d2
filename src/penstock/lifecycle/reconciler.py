"""Reconciler: one process brings itself to the state that all of them share, and orders changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from penstock.core.error_names import named_error
from penstock.core.errors import Internal, LoadFailed, NotReady, PenstockError, StoreError
from penstock.stores.control_store import (
    Change,
    ControlStore,
    Outcome,
    ServingProcess,
    Standing,
    Wish,
)

_log: Final = logging.getLogger("penstock.control")

Apply = Callable[[Change], Awaitable[None]]
Next = Callable[[Any], Any]
"""From what is desired of a subject now (None: what was at the start) to what shall be."""


class ReconcilerOptions(msgspec.Struct, frozen=True):
    """How a Reconciler works.

    Attributes:
        poll_s: how often it looks whether anything has changed, in seconds.
        report_s: how often it says that it lives, in seconds.
        live_s: a process that has not said so for this long is not waited for, in seconds; nor is
            a store that breaks under an order.
    """

    poll_s: float = 0.1
    report_s: float = 1.0
    live_s: float = 5.0


class Reconciler:
    """Follows a ControlStore by level: of each subject the last change is applied, one at a time.

    Law: once nothing is ordered any more and the store answers, the last thing that every live
    process has done of a subject is its last change.

    Args:
        store: what all processes share.
        me: this process.
        apply: makes a change true here; what it raises is that change's error.
        options: how it works.
        tell_up: told whether the store answers: with ``begin``, and whenever that has changed.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        store: ControlStore,
        me: ServingProcess,
        apply: Apply,
        options: ReconcilerOptions | None = None,
        tell_up: Callable[[bool], None] = lambda is_up: None,
    ) -> None:
        self._store = store
        self._me = me
        self._apply = apply
        self._options = options or ReconcilerOptions()
        self._tell_up = tell_up
        self._desired: dict[str, Change] = {}
        self._done: dict[str, Outcome] = {}
        self._unreported: dict[str, Outcome] = {}
        self._begun: list[Change] = []
        self._good: dict[str, Change] = {}
        self._bad: dict[str, int] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._runner: asyncio.Task[None] | None = None
        self._orders: set[asyncio.Task[None]] = set()
        self._kick = asyncio.Event()
        self._news = asyncio.Event()
        self._version = -1
        self._revision = 0
        self._reported_s = 0.0
        self._is_following = False
        self._is_closed = False
        self._fault = ""
        self._broken_at_s = 0.0

    async def begin(self) -> list[Change]:
        """Read what should be true of this process when it starts.

        Nothing is applied before ``follow``, and the others do not wait for this process.

        Raises:
            StoreError: the store cannot be asked.
        """
        self._begun = await self._store.desired()
        self._tell_up(True)
        self._take(self._begun)
        self._runner = asyncio.create_task(self._run(), name="control")
        return self._begun

    async def follow(self, failed: Mapping[str, PenstockError]) -> None:
        """The start is over: what ``begin`` told is true here but for these subjects, and what
        was changed since is applied from now on.

        The others wait for this process from now on. Returns when it has applied, or tried to,
        every change that they have not waited for it with; a store that cannot be asked is not
        waited for.
        """
        for change in self._begun:
            self._finish(change, failed.get(change.subject))
        self._is_following = True
        self._take([*self._desired.values()])
        with contextlib.suppress(StoreError):  # it is asked again, and told of, by _run
            await self._report()  # first: what is ordered after it is read waits for this process
            self._take(await self._store.desired(self._revision))
        if self._workers:
            await asyncio.wait([*self._workers.values()])

    async def order(
        self, subject: str, to: Next, *, who: str, why: str, may_undo: bool = True
    ) -> None:
        """Change what should be, and wait until every live process has dealt with it.

        Where it fails in one of them it is taken back in all, and that is waited for, too. A
        change that was overtaken by a later one of the same subject is no failure.

        Args:
            subject: what is changed.
            to: asked again where another change came between.
            who: who asks.
            why: for what reason.
            may_undo: False: where it fails in one process, it stays for the others.

        Raises:
            PenstockError: the first error of a process that could not apply it.
            StoreError: the change could not be written down, or nobody knows what became of it.
            asyncio.CancelledError: the caller went away; the order goes on.
        """
        work = self._order(Wish(subject, None, who, why), to, may_undo=may_undo)
        task = asyncio.create_task(work, name=f"order {subject}")
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Follow no longer, and say so. What is being applied is given up."""
        self._is_closed = True
        self._tell()
        await asyncio.gather(*self._orders, return_exceptions=True)
        tasks = [*self._workers.values(), *([] if self._runner is None else [self._runner])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._store.leave(self._me.id)
        except StoreError as err:
            _log.warning("the others are not told that this process ends: %s", err.message)

    # Orders

    async def _order(self, asked: Wish, to: Next, *, may_undo: bool) -> None:
        subject = asked.subject
        before, revision = await self._write(asked, to)
        failed = [one for one in await self._wait(subject, revision) if one.outcome.error]
        if not failed:
            await self._check_not_undone(subject, revision)
            return
        if may_undo:
            _log.warning("change %d of %s is taken back: %s", revision, subject, _told(failed))
            value, why = self._last_good(before), f"change {revision} failed"
            wish = Wish(subject, value, asked.who, why, undoes=revision)
            undone = await self._store.change(wish, expected=revision)
            if undone is not None:
                await self._wait(subject, undone)
        else:
            _log.error("change %d of %s is not followed by %s", revision, subject, _told(failed))
        first = failed[0].outcome
        raise named_error(first.error, first.message, LoadFailed)

    async def _check_not_undone(self, subject: str, revision: int) -> None:
        """Raise if somebody else took a change back: a process died while it applied it."""
        self._take(await self._store.desired(self._revision))
        last = self._desired[subject]
        if last.undoes == revision:
            raise LoadFailed(last.why)

    async def _write(self, asked: Wish, to: Next) -> tuple[Change, int]:
        """Write a change down; the change before it, and its revision."""
        subject = asked.subject
        while True:
            self._check_open()
            self._take(await self._store.desired(self._revision))
            before = self._desired.get(subject) or Change(0, subject, None)
            wish = Wish(subject, to(before.value), asked.who, asked.why)
            revision = await self._store.change(wish, expected=before.revision)
            if revision is not None:
                self._kick.set()
                return before, revision

    def _last_good(self, before: Change) -> Any:
        """What to go back to: the change before, or where that failed here, the last that did
        not.
        """
        if self._bad.get(before.subject) != before.revision:
            return before.value
        return self._good_value(before.subject)

    def _good_value(self, subject: str) -> Any:
        good = self._good.get(subject)
        return None if good is None else good.value

    async def _wait(self, subject: str, revision: int) -> list[Standing]:
        """Wait until the live processes have dealt with a change; how each that did so stands."""
        loop = asyncio.get_running_loop()
        written_s = loop.time()
        while True:
            self._check_open()
            news = self._news
            standings = await self._store.standings(subject, self._options.live_s)
            if all(one.outcome.revision >= revision for one in self._others(standings)):
                mine = self._done.get(subject)
                if mine is not None and mine.revision >= revision:
                    own = Standing(self._me, mine)
                    every = [own, *self._others(standings)]
                    return [one for one in every if one.outcome.revision == revision]
            is_broken_for_s = loop.time() - max(written_s, self._broken_at_s)
            if self._fault and is_broken_for_s > self._options.live_s:
                raise StoreError(
                    f"change {revision} of {subject} was ordered, but what became of it is not "
                    f"known: {self._fault}"
                )
            await _set_within(news, self._options.report_s)

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotReady("the server is shutting down")

    def _others(self, standings: list[Standing]) -> list[Standing]:
        return [one for one in standings if one.process.id != self._me.id]

    # Following

    async def _run(self) -> None:
        """Look again and again; a store that cannot be asked is told of once."""
        while True:
            await _set_within(self._kick, self._options.poll_s)
            self._kick.clear()
            try:
                await self._look()
                self._mend()
            except StoreError as err:
                self._break(err.message)
            except Exception:  # noqa: BLE001  # a bug of ours must not end the following
                if not self._fault:
                    _log.exception("the control store cannot be followed")
                self._break("internal error; the server's log has more")

    async def _look(self) -> None:
        """Take what is new, and say what has become of it."""
        version = await self._store.version()
        if version != self._version:
            self._take(await self._store.desired(self._revision))
            self._version = version
            self._tell()
        since_s = asyncio.get_running_loop().time() - self._reported_s
        if self._is_following and (self._unreported or since_s >= self._options.report_s):
            await self._report()

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            self._revision = max(self._revision, change.revision)
            known = self._desired.get(change.subject)
            if known is None or known.revision < change.revision:
                self._desired[change.subject] = change
        if self._is_following and not self._is_closed:
            for subject in {change.subject for change in changes} - self._workers.keys():
                work = self._work(subject)
                self._workers[subject] = asyncio.create_task(work, name=f"apply {subject}")

    async def _work(self, subject: str) -> None:
        """Apply the last change of a subject, until there is no later one."""
        try:
            while (change := self._desired[subject]).revision > self._revision_of(subject):
                self._finish(change, await self._attempt(change))
        finally:
            del self._workers[subject]

    async def _attempt(self, change: Change) -> PenstockError | None:
        """Apply a change; what came of it."""
        if self._bad.get(change.subject) == change.undoes and self._holds(change):
            return None  # what failed has left nothing to take back
        with contextlib.suppress(StoreError):  # a note for those who outlive this process
            await self._store.attempt(self._me.id, change.subject, change.revision)
        try:
            await self._apply(change)
        except PenstockError as error:
            _log.warning(
                "change %d of %s fails here: %s", change.revision, change.subject, error.message
            )
            return error
        except Exception:  # noqa: BLE001  # a bug of ours must not end the following
            _log.exception("change %d of %s could not be applied", change.revision, change.subject)
            return Internal("internal error; the server's log has more")
        return None

    def _holds(self, change: Change) -> bool:
        """Whether the last change that did not fail here had the same value."""
        return bool(self._good_value(change.subject) == change.value)

    def _finish(self, change: Change, error: PenstockError | None) -> None:
        subject, outcome = change.subject, _outcome(change, error)
        if error is None:
            self._good[subject] = change
        else:
            self._bad[subject] = change.revision
        self._done[subject] = self._unreported[subject] = outcome
        self._tell()
        self._kick.set()

    def _revision_of(self, subject: str) -> int:
        done = self._done.get(subject)
        return 0 if done is None else done.revision

    async def _report(self) -> None:
        told = [*self._unreported.values()]
        await self._store.report(self._me, told)
        for outcome in told:
            if self._unreported.get(outcome.subject) is outcome:
                del self._unreported[outcome.subject]
        self._reported_s = asyncio.get_running_loop().time()

    def _tell(self) -> None:
        """Wake those who wait for an order."""
        told, self._news = self._news, asyncio.Event()
        told.set()

    def _break(self, why: str) -> None:
        if not self._fault:
            _log.error("changes are refused, what is served stays as it is: %s", why)
            self._broken_at_s = asyncio.get_running_loop().time()
            self._tell_up(False)
        self._fault = why
        self._tell()

    def _mend(self) -> None:
        if self._fault:
            _log.info("the control store answers again")
            self._tell_up(True)
        self._fault = ""


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for an event, but not for longer than this."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


def _outcome(change: Change, error: PenstockError | None) -> Outcome:
    if error is None:
        return Outcome(change.subject, change.revision)
    return Outcome(change.subject, change.revision, type(error).__name__, error.message)


def _told(failed: list[Standing]) -> str:
    return "; ".join(f"{_name(one.process)}: {one.outcome.message}" for one in failed)


def _name(process: ServingProcess) -> str:
    """A process as a log of many servers may call it."""
    return f"process {process.number}" + (f" at {process.host}" if process.host else "")
