"""What a plan says of each of its stages, and at which level its gates decide."""

from __future__ import annotations

from typing import NamedTuple

from penstock.rollout.spec import Gate, OutcomeGate, PrometheusGate, RolloutSpec, Stage
from penstock.rollout.state import Phase

REFERENCE, CANDIDATE = "stable", "canary"
"""The names of the two variants of a rollout's route."""


class Levels(NamedTuple):
    """How often a gate may be wrong, over all its looks together.

    Attributes:
        fail: when it says that a candidate is bad that is not.
        promote: when it lets one pass that breaks it.
    """

    fail: float
    promote: float


def stage_of(spec: RolloutSpec, phase: Phase, step: int) -> Stage | None:
    """What the plan says of a stage with requests; None: there are none in this phase."""
    match phase:
        case Phase.SHADOW:
            return spec.shadow
        case Phase.CANARY:
            return spec.steps[step]
        case Phase.BAKE:
            return spec.bake
        case _:
            return None


def gates_of(spec: RolloutSpec, phase: Phase) -> tuple[Gate, ...]:
    """The gates that are looked at in a phase."""
    match phase:
        case Phase.SHADOW:
            return spec.shadow.gates if spec.shadow is not None else ()
        case Phase.CANARY | Phase.BAKE:
            return spec.gates
        case _:
            return ()


def waits_for(gate: Gate, phase: Phase) -> bool:
    """Whether a stage is left only where this gate passes.

    Outcomes are compared within a step: in the bake the reference gets no requests any more.
    """
    return phase is not Phase.BAKE or not isinstance(gate, OutcomeGate)


def stages(spec: RolloutSpec) -> list[tuple[Phase, int]]:
    """Every stage with requests, in order: phase and step."""
    first = [(Phase.SHADOW, 0)] if spec.shadow is not None else []
    return [*first, *((Phase.CANARY, step) for step in range(len(spec.steps))), (Phase.BAKE, 0)]


def next_stage(spec: RolloutSpec, phase: Phase, step: int) -> tuple[Phase, int]:
    """The stage after one that is no end."""
    if phase is Phase.DRAFT:
        return Phase.WARM, 0
    after = [*stages(spec), (Phase.DONE, 0)]
    return after[0] if phase is Phase.WARM else after[after.index((phase, step)) + 1]


def levels(spec: RolloutSpec) -> Levels:
    """At which level each gate of a plan decides in each stage.

    A good candidate is rolled back if any gate fails in any stage, or the test of its answers that
    are no finite numbers, which every stage has where clients get them: the level is shared out
    evenly over all of them, those without chance left out. A gate of outcomes goes on in the bake
    with the test of the last step. A candidate that breaks a gate has to get past that very gate
    in every stage, so each may use the whole level.
    """
    tests = sum(
        (phase is not Phase.SHADOW)
        + sum(
            waits_for(gate, phase) and not isinstance(gate, PrometheusGate)
            for gate in gates_of(spec, phase)
        )
        for phase, _ in stages(spec)
    )
    return Levels(spec.false_rollback / max(tests, 1), spec.false_promotion)


def title(spec: RolloutSpec, phase: Phase, step: int) -> str:
    """A stage in words, such as ``canary 5 %``."""
    return f"{phase} {spec.steps[step].weight:g} %" if phase is Phase.CANARY else str(phase)
