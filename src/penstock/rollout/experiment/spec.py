"""ExperimentSpec: what an experiment.yaml says. Values only; ``experiment_check`` checks them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penstock.router.route import RoutingKey, Variant

ERROR_RATE, LATENCY = "error_rate", "latency"
"""Guardrails whose numbers the server counts itself."""

_Metric = Annotated[str, Meta(min_length=1, max_length=128)]
_Positive = Annotated[float, Meta(gt=0)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable value that refuses fields it does not know."""


class Measure(_Strict, frozen=True):
    """A metric that outcomes tell.

    Attributes:
        metric: its name, as in the outcomes.
        goal: whether larger or smaller is better.
        kind: ``rate``: each outcome is yes or no; ``mean``: it is a number.
        missing: what a unit without an outcome counts as: ``excluded``: nothing; ``zero``: 0, for
            metrics of which only the events are told, such as purchases.
    """

    metric: _Metric
    goal: Literal["increase", "decrease"] = "increase"
    kind: Literal["mean", "rate"] = "mean"
    missing: Literal["excluded", "zero"] = "excluded"


class Goal(Measure, frozen=True, kw_only=True):
    """What a variant should do better than the control. Exactly one of the two effects is set.

    Attributes:
        min_effect: the smallest difference worth having, in the metric's unit.
        min_effect_ratio: the same as a part of the control's mean: 0.02 is two percent of it.
    """

    min_effect: _Positive | None = None
    min_effect_ratio: _Positive | None = None


class Guardrail(Measure, frozen=True, kw_only=True):
    """What a variant must not do much worse than the control. Exactly one of the losses is set.

    Attributes:
        metric: of outcomes; or ``error_rate`` (with ``max_loss``, such as 0.005 for half a percent
            point) or ``latency`` (with ``max_loss_ratio``), of which less is always better.
        max_loss: the largest loss that is put up with, in the metric's unit.
        max_loss_ratio: the same as a part of the control's.
        quantile: of the latency.
    """

    max_loss: _Positive | None = None
    max_loss_ratio: _Positive | None = None
    quantile: Annotated[float, Meta(gt=0, lt=1)] = 0.99


class Thompson(_Strict, frozen=True):
    """How shares follow the outcomes.

    Attributes:
        metric: the goal that they follow; "": the first one.
        floor_ratio: the least share of each variant, 0 to 1.
        interval_s: how often they are looked at, in seconds.
    """

    metric: str = ""
    floor_ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    interval_s: Annotated[float, Meta(ge=1)] = 60.0


class ExperimentSpec(_Strict, frozen=True, kw_only=True):
    """A comparison of versions of one model by what comes of their predictions.

    Attributes:
        model: the model's name.
        name: the experiment's.
        variants: who shares the requests; the first one is the control. Without any weight they
            share evenly.
        key: what is assigned and counted as one unit, such as a user; none: each request.
        goals: what should get better; the first one is what the sentence is about.
        guardrails: what must not get much worse.
        level: how often, at most, any statement of the result is ever wrong by chance.
        mode: ``fixed``: the shares stay; ``thompson``: they follow the outcomes.
        thompson: how, in that mode.
        warm_timeout_s: it fails if a version is not ready by then, in seconds.
        max_duration_s: it ends after this, in seconds.
    """

    model: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    variants: tuple[Variant, ...]
    goals: tuple[Goal, ...]
    key: RoutingKey = RoutingKey()
    guardrails: tuple[Guardrail, ...] = ()
    level: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    mode: Literal["fixed", "thompson"] = "fixed"
    thompson: Thompson = Thompson()
    warm_timeout_s: _Positive = 600.0
    max_duration_s: _Positive = 28 * 24 * 3600.0

    @property
    def control(self) -> str:
        """The variant that the others are compared with."""
        return self.variants[0].name

    @property
    def followed(self) -> Goal:
        """The goal that the shares of ``thompson`` follow."""
        named = (goal for goal in self.goals if goal.metric == self.thompson.metric)
        return next(named, self.goals[0])

    @property
    def level_each(self) -> float:
        """The level of one comparison: the whole shared out evenly over goals, guardrails and
        variants, so that all statements together keep it.
        """
        measures = len(self.goals) + len(self.guardrails)
        return self.level / max(1, measures * (len(self.variants) - 1))
