"""Experiments: exposures and outcomes of one process, on their way to the log that all share."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.evidence.means import Moments
from penstock.rollout.experiment.outcomes import RejectedRow, parse_outcomes
from penstock.rollout.experiment.state import WARM
from penstock.router.route import Route
from penstock.stores.experiment_log import ExperimentLog, ExperimentTally, Exposure
from penstock.stores.experiment_log_buffer import ExposureBuffer, ExposureBufferOptions

_MAX_UNIT_CHARS = 128
_REST = 10
"""Sums are added up anew after so many times what that has taken."""


class OutcomesTold(msgspec.Struct, frozen=True):
    """What became of a batch of outcomes. Rows are numbered from 1.

    Attributes:
        taken: how many were kept.
        duplicates: rows that told a metric of a prediction once more; the first one stays.
        unknown: rows that were kept aside for a day, until their prediction is known.
        rejected: rows that are wrong, and why.
    """

    taken: int = 0
    duplicates: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    rejected: tuple[RejectedRow, ...] = ()


class _Sum(NamedTuple):
    tally: ExperimentTally
    until_ns: int


class Experiments:
    """Notes who met which variant, takes outcomes, and adds them up.

    An ``Exposures`` of the router, and an ``OutcomeSource`` of rollouts.

    Args:
        log: where both are kept; closed here.
        clock: where time comes from; None: the machine's.
        options: bounds of what waits to be written.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        log: ExperimentLog,
        *,
        clock: Clock | None = None,
        options: ExposureBufferOptions | None = None,
    ) -> None:
        self._log = log
        self._clock = clock or SystemClock()
        self._buffer = ExposureBuffer(log, options)
        self._sums: dict[str, _Sum] = {}

    def exposed(self, model: str, route: Route, variant: str, key: str, prediction_id: str) -> None:
        """See ``Exposures.exposed``. Where no key is wanted, each request is a unit of its own."""
        del model  # an experiment's id is unlike that of any other model's
        if route.experiment.endswith(WARM):
            return
        if not prediction_id.isascii():
            prediction_id = prediction_id.encode(errors="replace").decode()
        unit = unit_of(key) if key else prediction_id
        exposure = Exposure(route.experiment, unit, variant, prediction_id, self._now_ms())
        self._buffer.put(exposure)

    async def record(self, rows: Sequence[Any], *, on_thread: bool = False) -> OutcomesTold:
        """Take outcomes: the good rows are written when this returns.

        Args:
            rows: see ``parse_outcomes``.
            on_thread: whether they are so large that they are sorted out beside the event loop.

        Raises:
            Overloaded: see ``ExperimentLog.record``.
            StoreError: the log cannot be asked, and nothing was written; all may be told again.
        """
        now_ms = self._now_ms()
        if on_thread:
            parsed = await asyncio.to_thread(parse_outcomes, rows, now_ms)
        else:
            parsed = parse_outcomes(rows, now_ms)
        rejected = tuple(parsed.rejected)
        if not parsed.outcomes:
            return OutcomesTold(rejected=rejected)
        await self._buffer.flush()  # so that predictions of this process are known
        done = await self._log.record(parsed.outcomes)
        return OutcomesTold(
            done.num_new,
            tuple(parsed.rows[at] for at in done.duplicates),
            tuple(parsed.rows[at] for at in done.unknown),
            rejected,
        )

    async def tally(self, experiment: str, *, by_prediction: bool = False) -> ExperimentTally:
        """What there is of an experiment; see ``ExperimentLog.tally``.

        Raises:
            StoreError: the log cannot be asked.
        """
        await self._buffer.flush()
        tally = await self._log.tally(experiment, by_prediction=by_prediction)
        unwritten = self._buffer.dropped(experiment)
        return msgspec.structs.replace(tally, dropped=tally.dropped + unwritten)

    async def moments(self, model: str, experiment: str, metric: str) -> Mapping[str, Moments]:
        """The values of a metric by variant, each unit counting once for each variant it met.

        Asked often: what is told may be older than now by some times what adding it up takes.

        Args:
            model: the model's name.
            experiment: the experiment, or the stage of a rollout.
            metric: the metric's name.

        Raises:
            StoreError: the log cannot be asked.
        """
        del model
        found = self._sums.get(experiment)
        if found is None or self._clock.monotonic_ns() >= found.until_ns:
            started_ns = self._clock.monotonic_ns()
            tally = await self.tally(experiment, by_prediction=True)
            ended_ns = self._clock.monotonic_ns()
            self._sums = {name: one for name, one in self._sums.items() if one.until_ns > ended_ns}
            found = _Sum(tally, ended_ns + _REST * (ended_ns - started_ns))
            self._sums[experiment] = found
        return {
            name: one.metrics[metric].moments
            for name, one in found.tally.variants.items()
            if metric in one.metrics
        }

    async def close(self, timeout_s: float = 2.0) -> int:
        """Write what waits, and let go of the log.

        Args:
            timeout_s: how long the writing may take, in seconds.

        Returns:
            how many exposures could not be written.
        """
        left = await self._buffer.close(timeout_s)
        await self._log.close()
        return left

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000


def unit_of(key: str) -> str:
    """How a routing key is written down: a long one as its hash."""
    if len(key) <= _MAX_UNIT_CHARS:
        return key
    return f"#{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"
