"""What an experiment's fields have to be together. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from penstock.core.errors import InvalidArgument
from penstock.rollout.experiment.spec import (
    ERROR_RATE,
    LATENCY,
    ExperimentSpec,
    Goal,
    Guardrail,
)
from penstock.router.route import Route, check_route

_WHOLE = 100.0


def checked(spec: ExperimentSpec) -> ExperimentSpec:
    """The same experiment with its weights filled in.

    Raises:
        InvalidArgument: names the field, what was expected, what came and what to do.
    """
    if len(spec.variants) < 2:
        raise InvalidArgument(
            f"variants: expected two or more to compare, got {len(spec.variants)}; the first one "
            "is the control"
        )
    spec = _with_weights(spec)
    check_route(Route(variants=spec.variants, key=spec.key))
    if not spec.goals:
        raise InvalidArgument("goals: expected at least one, got none; name a metric of outcomes")
    _check_once("goals", (goal.metric for goal in spec.goals))
    _check_once("guardrails", (f"{rail.metric} {rail.quantile}" for rail in spec.guardrails))
    for at, goal in enumerate(spec.goals):
        _check_goal(f"goals[{at}]", goal)
    for at, rail in enumerate(spec.guardrails):
        _check_guardrail(f"guardrails[{at}]", rail)
    if spec.mode == "thompson":
        _check_thompson(spec)
    return spec


def _with_weights(spec: ExperimentSpec) -> ExperimentSpec:
    if any(one.weight for one in spec.variants):
        for one in spec.variants:
            if not one.weight:
                raise InvalidArgument(
                    f"variants: '{one.name}': weight: expected more than 0, got 0; leave the "
                    "variant out, or leave every weight out to share evenly"
                )
        return spec
    each = _WHOLE / len(spec.variants)
    even = tuple(msgspec.structs.replace(one, weight=each) for one in spec.variants)
    return msgspec.structs.replace(spec, variants=even)


def _check_once(field: str, names: Iterable[str]) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InvalidArgument(f"{field}: expected each metric once, got '{name}' {count} times")


def _check_goal(field: str, goal: Goal) -> None:
    if goal.metric in (ERROR_RATE, LATENCY):
        raise InvalidArgument(
            f"{field}.metric: '{goal.metric}' is counted by request and can be a guardrail only; "
            "name a metric of outcomes"
        )
    _check_one_of(field, "min_effect", goal.min_effect, goal.min_effect_ratio)
    if goal.kind == "rate" and (goal.min_effect or 0) >= 1:
        raise InvalidArgument(
            f"{field}.min_effect: expected less than 1 for a rate, got {goal.min_effect:g}; 0.01 "
            "is one percent point"
        )


def _check_guardrail(field: str, rail: Guardrail) -> None:
    _check_one_of(field, "max_loss", rail.max_loss, rail.max_loss_ratio)
    if rail.metric == ERROR_RATE and rail.max_loss is None:
        raise InvalidArgument(
            f"{field}: '{ERROR_RATE}' takes 'max_loss', such as 0.005 for half a percent point, "
            "and got 'max_loss_ratio'"
        )
    if rail.metric == LATENCY and rail.max_loss_ratio is None:
        raise InvalidArgument(
            f"{field}: '{LATENCY}' takes 'max_loss_ratio', such as 0.2 for a fifth longer, and got "
            "'max_loss'"
        )


def _check_one_of(field: str, name: str, absolute: float | None, ratio: float | None) -> None:
    if (absolute is None) == (ratio is None):
        raise InvalidArgument(
            f"{field}: expected exactly one of '{name}' (in the metric's unit) and '{name}_ratio' "
            f"(a part of the control's), got {'neither' if ratio is None else 'both'}"
        )
    if not math.isfinite(absolute if absolute is not None else ratio or 0.0):
        raise InvalidArgument(f"{field}.{name}: expected a finite number")


def _check_thompson(spec: ExperimentSpec) -> None:
    plan, metrics = spec.thompson, [goal.metric for goal in spec.goals]
    if plan.metric and plan.metric not in metrics:
        raise InvalidArgument(
            f"thompson.metric: expected one of the goals {', '.join(metrics)}, got '{plan.metric}'"
        )
    if plan.floor_ratio * len(spec.variants) >= 1:
        raise InvalidArgument(
            f"thompson.floor_ratio: expected less than 1/{len(spec.variants)}, got "
            f"{plan.floor_ratio:g}: the least shares of {len(spec.variants)} variants must leave "
            "something to share out"
        )
