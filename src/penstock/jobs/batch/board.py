"""SplitBoard: which splits are to do, under way and done; the only one who writes the journal."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import Cancelled, JobFailed, PenstockError
from penstock.jobs.batch.dead_rate import DeadCount, check_dead
from penstock.jobs.batch.failure_policy import FailurePolicy, Fate, fate_of
from penstock.jobs.batch.journal import Done, Journal, Skipped
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.progress import Progress
from penstock.jobs.batch.work import SplitOutcome, Work

_LOOK_S = 0.1


class BoardOptions(msgspec.Struct, frozen=True):
    """How a board deals with what goes wrong.

    Attributes:
        policy: what the job lets pass.
        patience: how often a part that cannot be written is done again, and when.
        max_deaths: how many workers may die of one split.
    """

    policy: FailurePolicy = FailurePolicy()
    patience: Patience = Patience()
    max_deaths: int = 3


class SplitBoard:
    """A ``Desk`` that gives out the splits of a job. Any thread.

    Law: each split is given out until it is done, is left out, or ends the job; and to one at a
    time.

    Args:
        todo: what is to be done, in order.
        journal: where it is written what is done; it knows already what was done before.
        options: what follows of failures.
        clock: when a split may be tried again.

    Attributes:
        stop: set where whatever is under way is to be left as it is.
    """

    def __init__(
        self, todo: Sequence[Work], journal: Journal, options: BoardOptions, clock: Clock
    ) -> None:
        self.stop = threading.Event()
        self._todo = deque(todo)
        self._again: list[tuple[float, int, Work]] = []
        self._orders = itertools.count()
        self._under_way: set[str] = set()
        self._deaths: dict[str, int] = {}
        self._journal = journal
        self._options = options
        self._clock = clock
        self._error: PenstockError | None = None
        self._is_ending = False
        self._changed = threading.Condition()
        before = [entry.tally for entry in journal.done.values()]
        self._rows_before = sum(tally.rows_in for tally in before)
        self._count = DeadCount(self._rows_before, sum(tally.rows_dead for tally in before))
        self._num_splits = len(todo) + len(before)
        self._num_done = len(before)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, or to wait for."""
        with self._changed:
            return self.stop.is_set() or self._is_settled()

    def take(self, timeout_s: float | None = None) -> Work | None:
        """See ``Desk.take``.

        Args:
            timeout_s: how long to wait for one, in seconds; None: until there will be no more.
        """
        until_s = None if timeout_s is None else self._now_s() + timeout_s
        with self._changed:
            while not (self.stop.is_set() or self._is_settled()):
                now_s = self._now_s()
                if (work := self._next(now_s)) is not None:
                    self._under_way.add(work.id)
                    return work
                if until_s is not None and now_s >= until_s:
                    return None
                self._changed.wait(_LOOK_S if until_s is None else min(_LOOK_S, until_s - now_s))
            return None

    def seen(self, work: Work, rows: int, dead: int) -> None:
        """See ``Desk.seen``; stops the job where too many are dead."""
        self._count.seen(work.id, rows, dead)
        if dead:
            self._check_dead()

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        """See ``Desk.done``; durable when this returns."""
        tally = outcome.tally
        try:
            self._journal.append(Done(work.id, str(work.split), outcome.receipt, tally))
        except PenstockError as err:
            self.fail(err)
            return
        self._count.settled(work.id, tally.rows_in, tally.rows_dead)
        with self._changed:
            self._num_done += 1
            self._settle(work)
        self._check_dead()

    def failed(self, work: Work, error: PenstockError) -> None:
        """See ``Desk.failed``; decides what follows."""
        self._count.forget(work.id)
        options = self._options
        fate = fate_of(error, work.attempt, options.patience.attempts, options.policy)
        if fate is Fate.AGAIN:
            self._put_back(work, options.patience.wait_s(work.attempt))
        elif fate is Fate.SKIP:
            self._skip(work, error)
        elif fate is Fate.STOP:
            self.fail(error)
        else:
            with self._changed:
                self._error = self._error or error
                self._is_ending = True
                self._settle(work)

    def lost(self, work: Work, why: str) -> None:
        """Whoever worked on it died; it is given out again, unless it was one too many."""
        self._count.forget(work.id)
        with self._changed:
            deaths = self._deaths[work.id] = self._deaths.get(work.id, 0) + 1
        if deaths <= self._options.max_deaths:
            self._put_back(work, 0.0)
            return
        self.fail(
            JobFailed(
                f"{work.split}: {deaths} workers died while they did it, and more than "
                f"{self._options.max_deaths} may not; the last: {why}"
            )
        )

    def give_back(self, work: Work) -> None:
        """It was taken, and nobody began it."""
        self._put_back(work, 0.0, attempts=0)

    def fail(self, error: PenstockError) -> None:
        """The job stops at once."""
        with self._changed:
            if not self.stop.is_set():
                self._error = error  # it outranks that of a file, after which the job would go on
            self.stop.set()
            self._changed.notify_all()

    def cancel(self) -> None:
        """The job stops at once, as somebody wishes."""
        progress = self.progress()
        self.fail(
            Cancelled(
                f"the job was stopped: {progress.splits_done} of {progress.splits} splits are "
                f"done; run it again, and it goes on"
            )
        )

    def check(self) -> None:
        """Tell how it ended.

        Raises:
            PenstockError: why the job failed.
        """
        with self._changed:
            if self._error is not None:
                raise self._error

    def progress(self) -> Progress:
        """How far it is."""
        rows, dead = self._count.total()
        return Progress(
            splits=self._num_splits,
            splits_done=self._num_done,
            rows=rows,
            rows_dead=dead,
            rows_before=self._rows_before,
            rows_settled=self._count.settled_rows,
        )

    def _check_dead(self) -> None:
        rows, dead = self._count.total()
        try:
            state = self._journal.folder
            check_dead(dead, rows, self._options.policy.max_rate, state, is_end=False)
        except JobFailed as err:
            self.fail(err)

    def _skip(self, work: Work, error: PenstockError) -> None:
        try:
            self._journal.append(Skipped(work.id, str(work.split), error.message))
        except PenstockError as err:
            self.fail(err)
            return
        with self._changed:
            self._settle(work)

    def _next(self, now_s: float) -> Work | None:
        if self._is_ending:
            return None
        if self._again and self._again[0][0] <= now_s:
            return heapq.heappop(self._again)[2]
        return self._todo.popleft() if self._todo else None

    def _put_back(self, work: Work, wait_s: float, attempts: int = 1) -> None:
        again = msgspec.structs.replace(work, attempt=work.attempt + attempts)
        with self._changed:
            heapq.heappush(self._again, (self._now_s() + wait_s, next(self._orders), again))
            self._settle(work)

    def _settle(self, work: Work) -> None:
        self._under_way.discard(work.id)
        self._changed.notify_all()

    def _is_settled(self) -> bool:
        return not self._under_way and (self._is_ending or not (self._todo or self._again))

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
