"""RolloutSpec: what a rollout.yaml says. Values only; ``feasibility`` checks that it can decide."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.router.route import RoutingKey

_Version = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[float, Meta(ge=0)]
_Ratio = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=0)]
_Level = Annotated[float, Meta(gt=0, lt=0.5)]
_Quantile = Annotated[float, Meta(gt=0, lt=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable value that refuses fields it does not know."""


class ErrorRateGate(_Strict, frozen=True, tag_field="metric", tag="error_rate"):
    """The candidate fails at most so much more often than the reference.

    Attributes:
        max_increase: of the share of failed requests, absolute: 0.005 is half a percent point.
    """

    max_increase: _Ratio = 0.005


class LatencyGate(_Strict, frozen=True, tag_field="metric", tag="latency"):
    """A quantile of the candidate's latency is at most so many times the reference's.

    Attributes:
        quantile: which, such as 0.99.
        max_ratio: candidate divided by reference.
    """

    quantile: _Quantile = 0.99
    max_ratio: Annotated[float, Meta(gt=1)] = 1.5


class AgreementGate(_Strict, frozen=True, tag_field="metric", tag="agreement"):
    """So many of the shadow's answers agree with those that the clients got.

    Attributes:
        min_rate: the least share of rows that agree.
        slack: a true rate this near below ``min_rate`` may be let pass: what makes it decidable.
    """

    min_rate: _Ratio = 0.98
    slack: Annotated[float, Meta(gt=0, le=1)] = 0.01


class PredictionShiftGate(_Strict, frozen=True, tag_field="metric", tag="prediction_shift"):
    """The candidate's predictions are distributed like the reference's.

    Attributes:
        max_distance: total variation: the part of the predictions that would have to change.
    """

    max_distance: _Ratio = 0.1


class OutcomeGate(_Strict, frozen=True, kw_only=True, tag_field="metric", tag="outcome"):
    """The mean of a user's own metric, told through outcomes, is not worse by more than so much.

    Attributes:
        name: the metric's, as in the outcomes.
        goal: whether larger or smaller is better.
        max_loss: the largest loss of the mean that is let pass, in the metric's unit.
    """

    name: Annotated[str, Meta(min_length=1)]
    goal: Literal["increase", "decrease"] = "increase"
    max_loss: Annotated[float, Meta(gt=0)]


class PrometheusGate(_Strict, frozen=True, tag_field="metric", tag="prometheus"):
    """A Prometheus query gives one value within bounds; no value is not a pass.

    Attributes:
        url: of the Prometheus server.
        query: PromQL; ``{model}``, ``{candidate}`` and ``{reference}`` are filled in.
        min, max: the bounds; None: there is none.
        consecutive: looks in a row that have to say the same, >= 1.
        timeout_s: the longest wait for an answer, in seconds, <= 60.
    """

    url: Annotated[str, Meta(min_length=1)]
    query: Annotated[str, Meta(min_length=1)]
    min: float | None = None
    max: float | None = None
    consecutive: Annotated[int, Meta(ge=1)] = 3
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0


Gate = (
    ErrorRateGate | LatencyGate | AgreementGate | PredictionShiftGate | OutcomeGate | PrometheusGate
)


class Stage(_Strict, frozen=True):
    """What holds of every stage with requests.

    Attributes:
        min_samples: candidate's requests (copies of a shadow) before it may pass.
        min_time_s: the least time in the stage, in seconds.
        timeout_s: the rollout pauses when the stage has not decided by then, in seconds.
    """

    min_samples: _Count = 100
    min_time_s: _Seconds = 60.0
    timeout_s: Annotated[float, Meta(gt=0)] = 24 * 3600.0


class ShadowStage(Stage, frozen=True):
    """Copies of the requests go to the candidate, before any client meets it.

    Attributes:
        sample, output, compare, tolerance: see ``route.Shadow``.
        gates: of this stage.
    """

    sample: _Ratio = 1.0
    output: str = ""
    compare: str = "auto"
    tolerance: Annotated[float, Meta(ge=0)] = 1e-3
    gates: tuple[Gate, ...] = (AgreementGate(),)


class Step(Stage, frozen=True, kw_only=True):
    """Part of the requests goes to the candidate.

    Attributes:
        weight: the candidate's share, in percent.
    """

    weight: Annotated[float, Meta(gt=0, lt=100)]


class Bake(Stage, frozen=True):
    """All requests go to the candidate; the reference stays warm: rolling back is a flip."""


class GoldenRequest(_Strict, frozen=True):
    """A request whose answer is known, asked of the candidate before any traffic.

    Attributes:
        request: the body of a V2 inference request, as JSON values.
        outputs: the outputs expected, by name, as nested lists; numbers within ``tolerance``.
        tolerance: the largest difference of numbers.
    """

    request: dict[str, Any]
    outputs: dict[str, Any] = {}
    tolerance: Annotated[float, Meta(ge=0)] = 1e-3


class Webhook(_Strict, frozen=True):
    """Who is told of every change.

    Attributes:
        url: where the event is sent as JSON, by POST.
        timeout_s: the longest wait for one answer, in seconds.
        attempts: how often an event is tried.
    """

    url: Annotated[str, Meta(min_length=1)]
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    attempts: Annotated[int, Meta(ge=1, le=20)] = 5


class RolloutSpec(_Strict, frozen=True):
    """A plan from the reference version to the candidate.

    Attributes:
        model: the model's name.
        candidate: the new version.
        reference: the version it is compared with and rolled back to; None: what answers now.
        key: what requests are assigned by.
        golden: known answers, asked while the candidate is warm and has no traffic.
        warm_timeout_s: the rollout fails if the candidate is not ready by then, in seconds.
        shadow: the stage before the canary; None: there is none.
        steps: the canary's, with weights that rise.
        bake: the last stage.
        gates: of every step and of the bake; in the bake those that compare two versions at once
            hold the candidate against what was counted of the reference in the last step, and
            those of outcomes are not waited for.
        false_rollback: the level: how often, at most, a candidate that is as good as the reference
            is rolled back, over the whole rollout.
        false_promotion: how often, at most, one that breaks a gate is promoted.
        interval_s: how often it decides, in seconds, >= 0.1.
        webhook: who is told; None: nobody.
    """

    model: Annotated[str, Meta(min_length=1)]
    candidate: _Version
    reference: _Version | None = None
    key: RoutingKey = RoutingKey()
    golden: tuple[GoldenRequest, ...] = ()
    warm_timeout_s: Annotated[float, Meta(gt=0)] = 600.0
    shadow: ShadowStage | None = None
    steps: tuple[Step, ...] = (Step(weight=1), Step(weight=5), Step(weight=25), Step(weight=50))
    bake: Bake = Bake(min_time_s=1800.0)
    gates: tuple[Gate, ...] = (ErrorRateGate(), LatencyGate())
    false_rollback: _Level = 0.01
    false_promotion: _Level = 0.05
    interval_s: Annotated[float, Meta(ge=0.1)] = 1.0
    webhook: Webhook | None = None
