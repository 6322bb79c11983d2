"""ExperimentResult: what an experiment says so far. Values only."""

from __future__ import annotations

import enum

import msgspec


class Finding(enum.StrEnum):
    """What one comparison says."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference worth having"
    KEPT = "kept"
    BROKEN = "broken"
    NEED_MORE_DATA = "not enough data yet"
    NO_VERDICT = "no verdict"


class Comparison(msgspec.Struct, frozen=True):
    """One variant against the control by one metric.

    Attributes:
        metric: the metric.
        role: ``goal`` or ``guardrail``.
        variant: who is compared.
        finding: what it says.
        message: one sentence for a person.
        value, control: the mean over units, the rate, or the latency in seconds; None: none yet.
        effect: the variant's minus the control's; of the latency their ratio minus 1.
        low, high: where the effect lies, at ``level_each`` of the result; None: not known.
        relative: the effect as a part of the control's value; None: not known.
        bound: the smallest difference worth having, or the largest loss put up with, in the
            effect's unit; None: not known yet.
        counted: what the samples are: ``units`` or ``requests``.
        samples, control_samples: of the variant and of the control.
        needed: about how many more of both together; None: none, or nobody can say.
    """

    metric: str
    role: str
    variant: str
    finding: Finding
    message: str
    value: float | None = None
    control: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    bound: float | None = None
    counted: str = "units"
    samples: int = 0
    control_samples: int = 0
    needed: int | None = None


class VariantResult(msgspec.Struct, frozen=True):
    """What a variant has met.

    Attributes:
        name: of the variant.
        version: which version it is.
        weight: its share, in percent.
        units: whose first exposure it was.
        mixed_units: of those, the ones that met another variant, too, and are left out.
        requests, errors: what was counted of it; None: not known.
    """

    name: str
    version: int
    weight: float
    units: int = 0
    mixed_units: int = 0
    requests: int | None = None
    errors: int | None = None


class ExperimentResult(msgspec.Struct, frozen=True):
    """What an experiment says so far.

    Attributes:
        sentence: the verdict, for a person.
        finding: of the first goal, of the variant that the sentence is about.
        level_each: the level of each comparison.
        blocked: why there is no verdict; "": there may be one.
        variants: in the spec's order, the control first.
        comparisons: every goal and guardrail of every variant.
        notes: what should be known beside it, a sentence each.
    """

    sentence: str
    finding: Finding
    level_each: float
    blocked: str = ""
    variants: tuple[VariantResult, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
