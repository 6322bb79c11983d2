"""LoaderHarness: one loader, one state, one transition at a time.

The only place where foreign loader code is called, and so the only one that catches everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from penstock.core.errors import (
    Cancelled,
    ConfigError,
    Internal,
    LoadFailed,
    PenstockError,
    may_pass,
)
from penstock.core.ids import ServableId
from penstock.core.loader import Loader
from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable
from penstock.core.source import AspiredVersion
from penstock.core.status import VersionState
from penstock.lifecycle.handle import Leases
from penstock.lifecycle.state import check_transition

_log: Final = logging.getLogger("penstock.lifecycle")


class LoadOptions(msgspec.Struct, frozen=True):
    """How often a load is tried.

    Attributes:
        max_attempts: attempts in all, >= 1.
        initial_backoff_s: seconds between the first two attempts; doubled after each one.
        max_backoff_s: the longest wait between two attempts, in seconds.
    """

    max_attempts: int = 3
    initial_backoff_s: float = 0.5
    max_backoff_s: float = 30.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts: expected at least 1, got {self.max_attempts}")


class HarnessContext(msgspec.Struct, frozen=True):
    """What all harnesses of a Manager share.

    Attributes:
        options: how often a load is tried.
        slots: bounds the loads that run at once; held during an attempt, not during a wait.
        sleep: waits so many seconds between attempts.
        on_change: told after each change of state; what it raises is logged.
    """

    options: LoadOptions
    slots: asyncio.Semaphore
    sleep: Callable[[float], Awaitable[None]]
    on_change: Callable[[LoaderHarness], None]


class LoaderHarness:
    """One version from NEW to UNLOADED.

    Law: every change of state is in the table of ``state.py``; ``load`` and ``unload`` of
    the loader never run at the same time, ``unload`` runs once and only after a load that
    returned, when no lease is out.

    Attributes:
        id: the version.
        revision: the fingerprint of what is loaded.
        loader: how; None: ``error`` says why there is none.
        error: why it cannot even be tried; None when there is a loader.
        of_model: whether the error is the whole model's; see ``AspiredVersion``.
        reason: why it is not ready, for people; "" where there is nothing to say. A text and no
            exception, whose traceback would keep a half-loaded model in memory.
        culprit: what a model's code raised, for the log; set only while ``on_change`` is told
            that it FAILED; None: ``reason`` says all.
        serial: larger is younger.
        is_aspired: whether it should serve; set by ``aspire`` and ``unaspire``.
        may_retry: whether a FAILED one may be loaded again; set by the Manager.
        shortage: what it needed when it was refused for want of room; None: it was not.
        awaits_room: whether its load waits until other models have made room.
        claimed_bytes: the room that is being made for it.
        room_at_ns: when there may be room, on the monotonic clock; None: when something ends.
        ready_since_ns: when it became ready, on the monotonic clock; 0: it never was.
        state: where it is in its life.
        servable: what answers; set while READY and until the last lease is back.
        leases: who uses it.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, aspired: AspiredVersion, serial: int, context: HarnessContext) -> None:
        self.id: ServableId = aspired.id
        self.revision = aspired.revision
        self.loader: Loader | None = aspired.loader
        self.error: PenstockError | None = aspired.error
        self.of_model = aspired.of_model
        self.reason = ""
        self.culprit: BaseException | None = None
        self.serial = serial
        self.is_aspired = True
        self.may_retry = False
        self.shortage: ResourceEstimate | None = None
        self.awaits_room = False
        self.claimed_bytes = 0
        self.room_at_ns: int | None = None
        self.ready_since_ns = 0
        self.state = VersionState.NEW
        self.servable: Servable | None = None
        self.leases = Leases()
        self._context = context
        self._waiting: asyncio.Future[object] | None = None

    def aspire(self) -> None:
        """It should serve (again)."""
        self.is_aspired = True

    def unaspire(self) -> None:
        """It should serve no longer: a wait for a slot or the next attempt ends at once.

        An attempt that runs is not interrupted: a loader cannot be stopped half-way safely.
        """
        self.is_aspired = False
        if self._waiting is not None:
            self._waiting.cancel()

    def estimate(self) -> ResourceEstimate:
        """What a load will take.

        Raises:
            PenstockError: the loader cannot tell.
        """
        try:
            return self._require_loader().estimate()
        except PenstockError:
            raise
        except Exception as error:
            raise self._broken(error) from error

    def size(self) -> ResourceEstimate:
        """What it holds now that it is loaded: what its loader says after the load."""
        try:
            return self.estimate()
        except PenstockError:
            return ResourceEstimate()

    def refuse(self, error: PenstockError) -> None:
        """Fail without calling the loader (a version without one, or no room for it)."""
        self.start_load()
        self._fail(error)

    def await_room(self, reason: str, claimed_bytes: int, room_at_ns: int | None) -> None:
        """Its load shall be asked for again once there may be room."""
        self.awaits_room = True
        self.reason = reason
        self.claimed_bytes = claimed_bytes
        self.room_at_ns = room_at_ns

    def start_load(self) -> None:
        """Go to LOADING; ``load`` must follow."""
        if self.awaits_room:
            self.reason = ""
        self.may_retry = self.awaits_room = False
        self.claimed_bytes = 0
        self.shortage = None
        self._move(VersionState.LOADING)

    async def load(self) -> None:
        """Do what ``start_load`` announced: end READY, or FAILED with ``error`` set.

        Raises:
            asyncio.CancelledError: only when the caller's own task is cancelled; FAILED then.
        """
        try:
            servable = await self._load_patiently()
        except PenstockError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(Cancelled(f"loading {self.id} was cut short"))
            raise
        else:
            self.reason = ""
            self.servable = servable
            self._move(VersionState.READY)

    def start_unload(self) -> None:
        """Go to UNLOADING: no new leases from now on; ``unload`` must follow."""
        self._move(VersionState.UNLOADING)

    async def unload(self) -> None:
        """Do what ``start_unload`` announced: wait for the leases, then end UNLOADED."""
        await self.leases.wait_returned()
        self.servable = None
        try:
            await self._require_loader().unload()
        except Exception:  # noqa: BLE001 - foreign code; the version is gone whatever it does
            _log.exception("unloading %s raised; its memory may not be free", self.id)
        self._move(VersionState.UNLOADED)

    async def _load_patiently(self) -> Servable:
        try:
            return await self._attempt()
        except PenstockError as error:
            if not may_pass(error):
                raise
            return await self._retry(error)

    async def _retry(self, first: PenstockError) -> Servable:
        # Imported here: most servers never see a failed load, and start-up time is dear.
        from tenacity import (
            AsyncRetrying,
            retry_if_exception,
            stop_after_attempt,
            wait_exponential,
        )

        made = [first]

        async def attempt() -> Servable:
            if made:
                raise made.pop()  # the attempt that was made before tenacity came in
            return await self._attempt()

        options = self._context.options
        retrying = AsyncRetrying(
            sleep=self._back_off,
            stop=stop_after_attempt(options.max_attempts),
            wait=wait_exponential(options.initial_backoff_s, max=options.max_backoff_s),
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        return await retrying(attempt)

    async def _attempt(self) -> Servable:
        slots = self._context.slots
        while not await self._wait(slots.acquire):
            self._check_aspired()
        try:
            self._check_aspired()
            return await self._call_loader()
        finally:
            slots.release()

    async def _call_loader(self) -> Servable:
        try:
            return await self._require_loader().load()
        except PenstockError as error:
            self.reason = error.message
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise self._broken(error) from error
        except (Exception, SystemExit) as error:
            raise self._broken(error) from error

    async def _back_off(self, delay_s: float) -> None:
        _log.warning("%s; trying again in %.1f s", self.id.says(self.reason), delay_s)
        await self._wait(lambda: self._context.sleep(delay_s))
        self._check_aspired()

    async def _wait(self, start: Callable[[], Awaitable[object]]) -> bool:
        """Wait for something that ``unaspire`` may cut short; False when it did."""
        self._check_aspired()
        waiting = self._waiting = asyncio.ensure_future(start())
        try:
            await asyncio.wait({waiting})
        finally:
            self._waiting = None
            waiting.cancel()
        if waiting.cancelled():
            return False
        waiting.result()
        return True

    def _check_aspired(self) -> None:
        if not self.is_aspired:
            raise Cancelled(f"{self.id} is no longer wanted")

    def _require_loader(self) -> Loader:
        if self.loader is None:
            raise Internal(f"{self.id} has no loader")
        return self.loader

    def _broken(self, error: BaseException) -> LoadFailed:
        self.reason = f"{self.id} could not be loaded: its loader broke; see the server's log"
        return LoadFailed(self.reason, retryable=may_pass(error), culprit=error)

    def _fail(self, error: PenstockError) -> None:
        self.reason = error.message
        self.culprit = error.culprit if isinstance(error, LoadFailed) else None
        try:
            self._move(VersionState.FAILED)
        finally:
            self.culprit = None

    def _move(self, state: VersionState) -> None:
        check_transition(self.id, self.state, state)
        self.state = state
        try:
            self._context.on_change(self)
        except Exception:  # noqa: BLE001 - an observer's fault must not stop a version's life
            _log.exception("an observer of %s raised", self.id)
