"""ExperimentLog: who met which variant and what came of it, kept where each process reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from penstock.core.errors import Overloaded
from penstock.evidence.means import Moments

KEPT_MS = 90 * 24 * 3600 * 1000
"""An experiment is forgotten so long after its last exposure."""

KEPT_ASIDE_MS = 24 * 3600 * 1000
"""An outcome of a prediction that nobody knows is forgotten so long after it came."""

MAX_ASIDE_ROWS = 200_000
"""The most outcomes of unknown predictions that are kept, of all experiments together."""

PRUNED_AT_ONCE_ROWS = 2000
"""The most rows that are forgotten in one transaction, so that nobody waits long for it."""

MAX_VALUE = 1e100
"""The largest outcome, to either side of 0: squares of these can be added up by the million."""


class Exposure(NamedTuple):
    """One request that a variant of an experiment has answered.

    Attributes:
        experiment: the experiment, or the stage of a rollout.
        unit: what was assigned, such as a user.
        variant: who answered.
        prediction_id: of the answer.
        at_ms: when, in milliseconds since 1970.
    """

    experiment: str
    unit: str
    variant: str
    prediction_id: str
    at_ms: int


class PredictionOutcome(NamedTuple):
    """What came of one prediction.

    Attributes:
        prediction_id: of the answer.
        metric: what was measured.
        value: the measurement, within plus and minus ``MAX_VALUE``; a boolean as 0 or 1.
        at_ms: when, in milliseconds since 1970.
    """

    prediction_id: str
    metric: str
    value: float
    at_ms: int


class Recorded(NamedTuple):
    """What became of a batch of outcomes.

    Attributes:
        num_new: how many were written.
        duplicates: positions of those that were there already, and stay as they were.
        unknown: positions of the new ones whose prediction is not known (yet): they are kept
            aside for a day, and count once it is.
    """

    num_new: int
    duplicates: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()


def too_many_aside(num_refused: int, num_rows: int) -> Overloaded:
    """What is told of outcomes for which no room is left aside.

    Args:
        num_refused: how many were not taken.
        num_rows: how many came.
    """
    return Overloaded(
        f"outcomes: {num_refused:,} of {num_rows:,} rows were not taken, the others were: nobody "
        f"knows their prediction_id, and {MAX_ASIDE_ROWS:,} such outcomes are kept aside already. "
        "Send ids that answers of an experiment carry, or all of it again later: nothing counts "
        "twice"
    )


class MetricTally(msgspec.Struct, frozen=True):
    """One metric of one variant, each unit counting once, with the mean of its outcomes.

    Attributes:
        moments: over the units that have an outcome.
        ones: of these units, those whose every outcome is 1.
        zeros: those whose every outcome is 0.
        low, high: the least and the largest outcome.
    """

    moments: Moments
    ones: int
    zeros: int
    low: float
    high: float


class VariantTally(msgspec.Struct, frozen=True):
    """What the log has of one variant.

    Attributes:
        units: whose first exposure it was.
        mixed_units: of those, the ones that met another variant later; not in ``metrics``.
        metrics: by the metric's name.
    """

    units: int = 0
    mixed_units: int = 0
    metrics: dict[str, MetricTally] = {}


class ExperimentTally(msgspec.Struct, frozen=True):
    """What the log has of one experiment.

    Attributes:
        variants: by name.
        dropped: exposures that were not written, for want of room.
        repeated: requests whose prediction id another one had before.
        waiting: outcomes, of whichever experiment, whose prediction is not known.
    """

    variants: dict[str, VariantTally] = {}
    dropped: int = 0
    repeated: int = 0
    waiting: int = 0


class ExperimentLog(Protocol):
    """Exposures and outcomes, shared by all processes of a server.

    Laws: a unit belongs to the variant of its first exposure; one outcome counts of each
    prediction and metric, the first; it does not matter which of the two is written first.

    Each call raises StoreError where the store cannot be asked; then nothing was written. What is
    old is forgotten now and then, a piece with each write; that fails no call.
    """

    async def expose(
        self, exposures: Sequence[Exposure], dropped: Mapping[str, int] | None = None
    ) -> None:
        """Write exposures down.

        Args:
            exposures: in the order they happened.
            dropped: how many more there were of each experiment that nobody has written.
        """
        ...

    async def record(self, outcomes: Sequence[PredictionOutcome]) -> Recorded:
        """Write outcomes down.

        Raises:
            Overloaded: some are of predictions that nobody knows, and ``MAX_ASIDE_ROWS`` of that
                kind are kept already; all others were written.
        """
        ...

    async def tally(self, experiment: str, *, by_prediction: bool = False) -> ExperimentTally:
        """Add up what there is of an experiment.

        Args:
            experiment: which; one that is not known has a tally of nothing.
            by_prediction: whether an outcome counts for the variant that made its prediction,
                and a unit for each variant it met, none being mixed; for shares that move.
        """
        ...

    async def close(self) -> None:
        """Let go of it. No call after this one."""
        ...
