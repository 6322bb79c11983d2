"""ExperimentState: where an experiment stands, and the route that follows from it."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from penstock.core.errors import Internal
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.state import ModelRouting
from penstock.router.counts import StageCounts
from penstock.router.route import Route, Variant

WARM = "/warm"
"""Behind the id in the route of an experiment whose versions are being loaded: its requests are
exposed to nothing.
"""


class ExperimentPhase(enum.StrEnum):
    """Where an experiment is."""

    WARM = "warm"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self in (ExperimentPhase.ENDED, ExperimentPhase.FAILED)


class ExperimentStep(msgspec.Struct, frozen=True):
    """One change of an experiment.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        to: what was reached, such as ``running`` or ``ended``.
        who: ``controller``, or whoever asked.
        why: one sentence.
    """

    at_ms: int
    to: str
    who: str
    why: str


class ExperimentState(msgspec.Struct, frozen=True):
    """An experiment at one instant.

    Attributes:
        id: unlike that of any other experiment, of any model.
        spec: what was asked for, its weights filled in.
        phase: where it is.
        entered_ms: when this phase began.
        started_ms: when the requests were shared out first; 0: not yet.
        answering: the version that answered when it was asked for.
        before: the route there was before; None: there was none.
        weights: the shares now, in percent, by variant.
        weighed_ms: when they were looked at last, in milliseconds since 1970.
        kept: the variant that is the route since the end; "": the route before is.
        counts: what the processes had counted by the end; None: not ended, or not known.
        history: every change, the oldest first; of the shares the last hundred.
    """

    id: str
    spec: ExperimentSpec
    phase: ExperimentPhase
    entered_ms: int
    started_ms: int = 0
    answering: int = 0
    before: Route | None = None
    weights: dict[str, float] = {}
    weighed_ms: int = 0
    kept: str = ""
    counts: StageCounts | None = None
    history: tuple[ExperimentStep, ...] = ()


def experiment_of(routing: ModelRouting | None) -> ExperimentState | None:
    """A model's last experiment; None: it had none.

    Raises:
        Internal: another version of this program has written it.
    """
    if routing is None or routing.experiment is None:
        return None
    try:
        return msgspec.convert(routing.experiment, ExperimentState)
    except msgspec.ValidationError as err:
        raise Internal(f"the experiment of this model cannot be read: {err}") from err


def with_experiment(routing: ModelRouting, state: ExperimentState) -> ModelRouting:
    """The same with an experiment, and the route that follows from it."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(state))
    return msgspec.structs.replace(routing, experiment=plain, route=route_of(state))


def route_of(state: ExperimentState) -> Route | None:
    """Who answers in this state of an experiment.

    Law: what answered before stays loaded until the end, so that ending loads nothing; rules rest
    while requests are shared out, because what they choose is not left to chance.

    Returns:
        the route; None: the newest version answers.
    """
    match state.phase:
        case ExperimentPhase.WARM:
            return _warm_route(state)
        case ExperimentPhase.RUNNING:
            return _running_route(state)
        case _:
            return _last_route(state)


def _warm_route(state: ExperimentState) -> Route:
    answering = (Variant(name="answering", version=state.answering, weight=100.0),)
    before = state.before or Route(variants=answering)
    wanted = {one.version for one in state.spec.variants}
    keep = tuple(sorted({*before.keep, *wanted}))
    stage = f"{state.id}{WARM}"
    return msgspec.structs.replace(before, keep=keep, stage=stage, experiment=stage)


def _running_route(state: ExperimentState) -> Route:
    before = state.before or Route(variants=())
    variants = tuple(
        msgspec.structs.replace(one, weight=state.weights.get(one.name, one.weight))
        for one in state.spec.variants
    )
    return Route(
        variants=variants,
        key=state.spec.key,
        salt=state.id,
        labels=before.labels,
        shadow=before.shadow,
        keep=tuple(sorted({*before.versions, state.answering})),
        stage=state.id,
        experiment=state.id,
    )


def _last_route(state: ExperimentState) -> Route | None:
    chosen = next((one for one in state.spec.variants if one.name == state.kept), None)
    if chosen is None:
        return state.before
    before = state.before or Route(variants=())
    return Route(
        variants=(Variant(name="stable", version=chosen.version, weight=100.0),),
        key=before.key,
        labels={**before.labels, "stable": chosen.version},
        keep=before.keep,
    )
