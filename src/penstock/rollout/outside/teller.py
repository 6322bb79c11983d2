"""Teller: tells of every change of one rollout, to the log, the metrics and the webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import ConfigError
from penstock.rollout.events import RolloutEvent, events_of, log_event
from penstock.rollout.outside.webhook import WebhookSender
from penstock.rollout.spec import Webhook
from penstock.rollout.state import Phase, RolloutState
from penstock.rollout.subjects import told_subject
from penstock.telemetry.rollout_stats import RolloutStats

_log: Final = logging.getLogger("penstock.rollout")

_TELLER = "teller"
"""One name for all processes: the next one goes on where the last has ended."""

TOO_OLD_S = 3600.0
"""What nobody has told of for so long, in seconds, is not told of any more."""

MakeSender: TypeAlias = Callable[[Webhook], WebhookSender]


class Told(msgspec.Struct, frozen=True):
    """How far the telling has come; kept in the control store.

    Attributes:
        logged: the id of the last event in the log; "": none.
        sent: the id of the last event that the webhook is through with; "": none.
    """

    logged: str = ""
    sent: str = ""


class Board(Protocol):
    """Where it is kept; a ControlStore."""

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """Keep what a process tells of a subject, in place of what it told before."""
        ...

    async def published(self, subject: str) -> dict[str, bytes]:
        """What each process told last of a subject."""
        ...


class Teller:
    """Tells of a rollout's changes while this process decides for it.

    Law: an event is told of at least once by some process, in the history's order; twice only
    where a process dies between telling and noting it down. Its id is then the same.

    Args:
        rollout: the id of the rollout.
        model: the model's name.
        board: where it is kept how far the telling has come.
        stats: counts what happens.
        clock: where time comes from.
        make_sender: makes the sender of a webhook; None: over HTTP.
    """

    def __init__(
        self,
        rollout: str,
        model: str,
        board: Board,
        stats: RolloutStats,
        *,
        clock: Clock | None = None,
        make_sender: MakeSender | None = None,
    ) -> None:
        self.rollout = rollout
        self._model = model
        self._board = board
        self._stats = stats
        self._clock = clock or SystemClock()
        self._make_sender = make_sender or WebhookSender
        self._sender: WebhookSender | None = None
        self._told: Told | None = None
        self._noted: Told | None = None
        self._num_dropped = 0

    @property
    def is_idle(self) -> bool:
        """Whether everything that was seen has been told, and that is noted down."""
        is_sent = self._sender is None or self._sender.is_idle
        return is_sent and self._told is not None and self._now(self._told) == self._noted

    async def look(self, state: RolloutState) -> None:
        """Tell what is new. Nothing is waited for but the store.

        Raises:
            StoreError: the store cannot be asked; what was told here is not told again here.
        """
        if self._told is None:
            self._noted = self._told = await self._read()
            self._begin(state, self._told)
        told = self._told
        fresh = [one for one in events_of(state, told.logged) if not self._is_too_old(one)]
        for event in fresh:
            log_event(event)
            if event.to == Phase.ROLLED_BACK:
                self._stats.rolled_back(event.model)
        if fresh:
            told = Told(fresh[-1].id, told.sent)
            if self._sender is not None:
                self._sender.offer(fresh)
        await self._note(told)

    async def close(self) -> None:
        """Tell no more."""
        if self._sender is not None:
            await self._sender.close()

    def _begin(self, state: RolloutState, told: Told) -> None:
        """Go on where another process has ended: what the webhook has not got comes first."""
        if state.spec.webhook is None:
            return
        try:
            self._sender = self._make_sender(state.spec.webhook)
        except ConfigError as err:
            _log.error("rollout of '%s': nobody is told of it: %s", self._model, err.message)
            return
        unsent = events_of(state, told.sent)
        logged = {event.id for event in events_of(state, told.logged)}
        again = [one for one in unsent if one.id not in logged and not self._is_too_old(one)]
        self._sender.offer(again)

    async def _note(self, told: Told) -> None:
        """Keep how far it has come."""
        self._told = now = self._now(told)
        if self._sender is not None:
            self._stats.dropped(self._model, self._sender.num_dropped - self._num_dropped)
            self._num_dropped = self._sender.num_dropped
        if now != self._noted:
            value = msgspec.msgpack.encode((self.rollout, now))
            await self._board.publish(_TELLER, told_subject(self._model), value)
            self._noted = now

    def _now(self, told: Told) -> Told:
        sent = told.logged if self._sender is None else self._sender.done or told.sent
        return Told(told.logged, sent)

    async def _read(self) -> Told:
        kept = (await self._board.published(told_subject(self._model))).get(_TELLER)
        if kept is None:
            return Told()
        try:
            rollout, told = msgspec.msgpack.decode(kept, type=tuple[str, Told])
        except msgspec.DecodeError:
            return Told()
        return told if rollout == self.rollout else Told()

    def _is_too_old(self, event: RolloutEvent) -> bool:
        age_ms = self._clock.wall_ns() // 1_000_000 - event.at_ms
        return age_ms > TOO_OLD_S * 1000
