"""What is done with experiments: pure, from what there is to what shall be."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from penstock.core.errors import FailedPrecondition, InvalidArgument, NotFound
from penstock.rollout.experiment.check import checked
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.state import (
    ExperimentPhase,
    ExperimentState,
    ExperimentStep,
    experiment_of,
    with_experiment,
)
from penstock.rollout.state import ModelRouting
from penstock.router.counts import StageCounts
from penstock.router.route import Variant

_MAX_STEPS = 100
CONTROLLER = "controller"


def start(
    spec: ExperimentSpec,
    routing: ModelRouting | None,
    ready: Collection[int],
    who: str,
    now_ms: int,
) -> ModelRouting:
    """Begin an experiment; where a version is not ready, load it first.

    Args:
        spec: what is asked for.
        routing: what there is of the model; None: nothing.
        ready: the model's versions that answer now.
        who: asks.
        now_ms: when, in milliseconds since 1970; it is part of the experiment's id.

    Raises:
        InvalidArgument: a field is wrong.
        FailedPrecondition: a rollout or an experiment is under way, or no version answers.
    """
    spec, now = checked(spec), routing or ModelRouting()
    _check_free(now, spec)
    if not ready:
        raise FailedPrecondition(
            f"no version of {spec.model} is ready: an experiment starts from one that answers"
        )
    state = ExperimentState(
        id=f"{spec.model}/{spec.name}/{now_ms:x}",
        spec=spec,
        phase=ExperimentPhase.WARM,
        entered_ms=now_ms,
        answering=max(ready),
        before=now.route,
        weights={one.name: one.weight for one in spec.variants},
        weighed_ms=now_ms,
    )
    waits_for = missing(state, ready)
    if waits_for:
        why = f"waits for {_versions(waits_for)} of {spec.model}"
        return with_experiment(now, _enter(state, ExperimentPhase.WARM, who, why, now_ms))
    return with_experiment(now, _run(state, who, now_ms))


def run(routing: ModelRouting, id_: str, now_ms: int) -> ModelRouting:
    """Share the requests out: every version is ready.

    Raises:
        FailedPrecondition: it is not this experiment that waits.
    """
    state = _still(routing, id_, ExperimentPhase.WARM)
    return with_experiment(routing, _run(state, CONTROLLER, now_ms))


def fail(routing: ModelRouting, id_: str, why: str, now_ms: int) -> ModelRouting:
    """Give up: the versions were not ready in time. The route is what it was.

    Raises:
        FailedPrecondition: it is not this experiment that waits.
    """
    state = _still(routing, id_, ExperimentPhase.WARM)
    failed = _enter(state, ExperimentPhase.FAILED, CONTROLLER, why, now_ms)
    return with_experiment(routing, failed)


def weigh(
    routing: ModelRouting, id_: str, weights: Mapping[str, float], why: str, now_ms: int
) -> ModelRouting:
    """Give the variants of a running experiment other shares, in percent.

    Raises:
        FailedPrecondition: this experiment does not run.
    """
    state = _still(routing, id_, ExperimentPhase.RUNNING)
    to = ", ".join(f"{name} {weight:g} %" for name, weight in weights.items())
    state = _note(state, ExperimentStep(now_ms, to, CONTROLLER, why))
    state = msgspec.structs.replace(state, weights=dict(weights), weighed_ms=now_ms)
    return with_experiment(routing, state)


def stop(
    routing: ModelRouting | None,
    keep: str,
    who: str,
    why: str,
    now_ms: int,
    counts: StageCounts | None,
) -> ModelRouting:
    """End an experiment: the route before it is restored, or a variant's version becomes it.

    Args:
        routing: what there is of the model; None: nothing.
        keep: the variant whose version answers from now on; "": the route before does.
        who: asks.
        why: one sentence; "": none given.
        now_ms: when, in milliseconds since 1970.
        counts: what the processes have counted; None: not known.

    Raises:
        InvalidArgument: there is no such variant.
        FailedPrecondition: it has ended, or ``keep`` was not loaded yet.
        NotFound: there is no experiment.
    """
    state = experiment_of(routing)
    if routing is None or state is None:
        raise NotFound(
            "there is no experiment of this model: begin one with 'penstock experiment start'"
        )
    if state.phase.is_end:
        raise FailedPrecondition(
            f"the experiment {state.spec.name} of {state.spec.model} has {state.phase} already"
        )
    _check_keep(state, keep)
    state = msgspec.structs.replace(state, kept=keep, counts=counts)
    told = why or (f"{keep} is kept" if keep else "the route before is restored")
    return with_experiment(routing, _enter(state, ExperimentPhase.ENDED, who, told, now_ms))


def missing(state: ExperimentState, ready: Collection[int]) -> list[int]:
    """The versions of an experiment that are not among those that are ready, ascending."""
    return sorted({one.version for one in state.spec.variants} - set(ready))


def _check_free(routing: ModelRouting, spec: ExperimentSpec) -> None:
    rollout, state = routing.rollout, experiment_of(routing)
    if rollout is not None and not rollout.phase.is_end:
        raise FailedPrecondition(
            f"a rollout of {spec.model} to version {rollout.spec.candidate} is under way: wait for "
            f"its end, or end it with 'penstock rollout abort {spec.model}'"
        )
    if state is not None and not state.phase.is_end:
        raise FailedPrecondition(
            f"the experiment {state.spec.name} of {spec.model} is under way: end it with "
            f"'penstock experiment stop {spec.model}'"
        )


def _check_keep(state: ExperimentState, keep: str) -> None:
    names = [one.name for one in state.spec.variants]
    if keep and keep not in names:
        raise InvalidArgument(f"keep: expected one of {', '.join(names)}, got '{keep}'")
    if keep and state.phase is ExperimentPhase.WARM:
        raise FailedPrecondition(
            f"the experiment {state.spec.name} has not begun, its versions are being loaded: stop "
            "it without keeping one"
        )


def _still(routing: ModelRouting, id_: str, phase: ExperimentPhase) -> ExperimentState:
    state = experiment_of(routing)
    if state is None or state.id != id_ or state.phase is not phase:
        raise FailedPrecondition(f"the experiment {id_} is not {phase} any more")
    return state


def _run(state: ExperimentState, who: str, now_ms: int) -> ExperimentState:
    state = msgspec.structs.replace(state, started_ms=now_ms, weighed_ms=now_ms)
    shares = ", ".join(_share(one) for one in state.spec.variants)
    return _enter(state, ExperimentPhase.RUNNING, who, shares, now_ms)


def _share(variant: Variant) -> str:
    return f"{variant.name} (version {variant.version}) {variant.weight:g} %"


def _enter(
    state: ExperimentState, phase: ExperimentPhase, who: str, why: str, now_ms: int
) -> ExperimentState:
    state = msgspec.structs.replace(state, phase=phase, entered_ms=now_ms)
    return _note(state, ExperimentStep(now_ms, str(phase), who, why))


def _note(state: ExperimentState, step: ExperimentStep) -> ExperimentState:
    return msgspec.structs.replace(state, history=(*state.history, step)[-_MAX_STEPS:])


def _versions(numbers: Collection[int]) -> str:
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
