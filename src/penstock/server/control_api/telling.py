"""From what is known of a model's requests to what the control API answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.rollout.explain import explanation, gates_now
from penstock.rollout.need import samples_needed
from penstock.rollout.plan import title
from penstock.rollout.report import ProcessReport
from penstock.rollout.routes import weight_of
from penstock.rollout.seen import Evidence
from penstock.rollout.sentences import about
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.spec_urls import without_secrets
from penstock.rollout.state import ModelRouting, RolloutState
from penstock.router.counts import (
    LATENCY_BOUNDS_S,
    PairCounts,
    StageCounts,
    VariantCounts,
)
from penstock.router.route import Route
from penstock.server.control_api.answers import (
    ProcessAnswer,
    RolloutAnswer,
    RouteAnswer,
    Seen,
    ShadowAnswer,
    VariantAnswer,
)

PAUSED = ", paused"
"""Behind the stage of a rollout that stays where it is."""

MAX_PREDICTIONS = 20
"""Classes that are told of each variant, the most frequent first."""


def rollout_answer(
    state: RolloutState,
    routing: ModelRouting,
    evidence: Evidence,
    reports: Mapping[str, ProcessReport],
    now_ms: int,
) -> RolloutAnswer:
    """Where a rollout stands.

    Args:
        state: of the rollout.
        routing: what there is of its model.
        evidence: what is known now.
        reports: what each process told last, by its id.
        now_ms: the time, in milliseconds since 1970.
    """
    spec = state.spec
    stage = title(spec, state.phase, state.step)
    return RolloutAnswer(
        model=spec.model,
        id=state.id,
        phase=state.phase,
        stage=f"{stage}{PAUSED}" if state.is_paused else stage,
        spec=without_secrets(spec),
        step=state.step,
        is_paused=state.is_paused,
        is_over=state.phase.is_end,
        candidate=spec.candidate,
        reference=spec.reference,
        weight=weight_of(state),
        entered_ms=state.entered_ms,
        explanation=explanation(state, evidence, now_ms),
        gates=gates_now(state, evidence),
        seen=seen(routing.route, evidence.counts, reports),
        history=state.history,
        route=routing.route,
    )


def route_answer(
    model: str,
    routing: ModelRouting,
    ready: Sequence[int],
    counted: Seen | None,
) -> RouteAnswer:
    """Who answers the requests of a model.

    Args:
        model: the model's name.
        routing: what there is of it.
        ready: the versions that answer here.
        counted: what was counted; None: nothing is.
    """
    route, state = routing.route, routing.rollout
    return RouteAnswer(
        model=model,
        route=route,
        rollout="" if state is None or state.phase.is_end else str(state.phase),
        experiment="" if route is None else route.experiment,
        ready=tuple(ready),
        seen=counted,
    )


def seen(route: Route | None, counts: StageCounts, reports: Mapping[str, ProcessReport]) -> Seen:
    """What was counted of a stage, in all processes together.

    Args:
        route: who shares the requests; None: the newest version answers.
        counts: the sums.
        reports: what each process told last, by its id.
    """
    variants = {one.name: one for one in (() if route is None else route.variants)}
    names = dict.fromkeys((*variants, *counts.variants))
    return Seen(
        stage=counts.stage,
        variants={
            name: _variant(
                counts.variants.get(name, VariantCounts()),
                variants[name].version if name in variants else None,
                variants[name].weight if name in variants else 0.0,
            )
            for name in names
        },
        shadow=_shadow(counts.pairs, route),
        unkeyed=counts.unkeyed,
        processes=tuple(_process(id_, reports[id_]) for id_ in sorted(reports)),
    )


def told_needs(spec: RolloutSpec) -> tuple[str, ...]:
    """About how many requests each stage takes, a sentence each."""
    return tuple(
        f"{one.title}: about {about(one.samples)} requests of version {spec.candidate}, "
        f"{about(one.requests)} of all{f' ({one.gate})' if one.gate else ''}"
        f"{f', assuming {one.assuming}' if one.assuming else ''}"
        for one in samples_needed(spec)
    )


def quantile_ms(latency: Sequence[int], quantile: float) -> float | None:
    """About where a quantile of a histogram of ``LATENCY_BOUNDS_S`` lies, in milliseconds; at most
    a bucket's width beside it. None: nothing was counted.
    """
    total, passed = sum(latency), 0
    for index, count in enumerate(latency):
        passed += count
        if total and passed >= quantile * total:
            return LATENCY_BOUNDS_S[min(index, len(LATENCY_BOUNDS_S) - 1)] * 1e3
    return None


def _variant(counts: VariantCounts, version: int | None, weight: float) -> VariantAnswer:
    common = sorted(counts.predictions.items(), key=lambda item: (-item[1], item[0]))
    return VariantAnswer(
        version=version,
        weight=weight,
        requests=counts.requests,
        errors=counts.errors,
        refused=counts.refused,
        non_finite=counts.non_finite,
        codes=counts.codes,
        p50_ms=quantile_ms(counts.latency, 0.5),
        p99_ms=quantile_ms(counts.latency, 0.99),
        predictions=dict(common[:MAX_PREDICTIONS]),
    )


def _shadow(pairs: PairCounts | None, route: Route | None) -> ShadowAnswer | None:
    shadow = None if route is None else route.shadow
    if pairs is None and shadow is None:
        return None
    counts = pairs or PairCounts()
    return ShadowAnswer(
        version=None if shadow is None else shadow.version,
        comparison=counts.comparison,
        pairs=counts.pairs,
        agreed=counts.agreed,
        errors=counts.errors,
        shed=counts.shed,
        p50_ms=quantile_ms(counts.latency, 0.5),
        p99_ms=quantile_ms(counts.latency, 0.99),
    )


def _process(id_: str, report: ProcessReport) -> ProcessAnswer:
    failures = {str(version): why for version, why in report.failures.items()}
    return ProcessAnswer(id_, report.at_ms, report.ready, failures)
