"""RolloutState: where a rollout stands. What is kept of it between two decisions is all here."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from penstock.evidence.verdict import Verdict
from penstock.rollout.spec import RolloutSpec
from penstock.router.counts import StageCounts
from penstock.router.route import Route


class Phase(enum.StrEnum):
    """The states; rolling back is legal from every one that is not an end."""

    DRAFT = "draft"
    WARM = "warm"
    SHADOW = "shadow"
    CANARY = "canary"
    BAKE = "bake"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self in (Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED)


class GateResult(msgspec.Struct, frozen=True):
    """What one gate answers, with its numbers.

    Attributes:
        gate: in words, such as ``error_rate <= +0.5 %``.
        verdict: the answer.
        candidate, reference: the values compared; None: there is none.
        low, high: the interval of what the gate bounds, at the level of the rollout; None: unknown.
        bound: the gate's.
        samples: of the candidate so far.
        needed: about how many more of the candidate's; None: that cannot be said, or none.
        message: one sentence for a person.
    """

    gate: str
    verdict: Verdict
    message: str
    bound: float | None = None
    candidate: float | None = None
    reference: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    needed: int | None = None


class Transition(msgspec.Struct, frozen=True):
    """One change of a rollout, with what led to it.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        to: the phase reached, such as ``canary 5 %``, ``paused`` or ``rolled back``.
        who: ``controller``, or whoever asked.
        why: one sentence.
        gates: the answers that led to it.
    """

    at_ms: int
    to: str
    who: str
    why: str
    gates: tuple[GateResult, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """Somebody wants the rollout to move on without waiting for evidence.

    Whoever decides does it at the next look: what fails still rolls back, and the numbers of that
    moment are written down.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        who: asked.
        why: one sentence.
        to_bake: all requests go to the candidate at once; False: one stage further.
    """

    at_ms: int
    who: str
    why: str
    to_bake: bool = False


class RolloutState(msgspec.Struct, frozen=True):
    """A rollout at one instant.

    Attributes:
        id: unlike that of any other rollout.
        spec: the plan, its ``reference`` filled in.
        phase: where it is.
        step: the index of the canary's step; 0 in every other phase.
        entered_ms: when this phase or step began.
        is_paused: whether it stays where it is until somebody resumes it; it still rolls back.
        asked: what somebody wants of it that is not done yet; None: nothing.
        baseline: the reference's counts of the last stage before the bake, which the bake is
            compared with.
        before: the route there was before; None: there was none.
        last: the last look's gates, as written down (not every look is).
        looked_ms: when they were, in milliseconds since 1970; 0: not in this stage.
        history: every change, the oldest first.
    """

    id: str
    spec: RolloutSpec
    phase: Phase = Phase.DRAFT
    step: int = 0
    entered_ms: int = 0
    is_paused: bool = False
    asked: Asked | None = None
    baseline: StageCounts | None = None
    before: Route | None = None
    last: tuple[GateResult, ...] = ()
    looked_ms: int = 0
    history: tuple[Transition, ...] = ()

    @property
    def stage(self) -> str:
        """The name of what is counted now: another one in each step."""
        return f"{self.id}/{self.phase.name.lower()}/{self.step}"

    @property
    def outcome_stage(self) -> str:
        """The stage whose outcomes are compared now; "": there are none.

        In the bake that of the last step: what came of its requests may be told late.
        """
        if self.phase is Phase.CANARY:
            return self.stage
        return self.baseline.stage if self.phase is Phase.BAKE and self.baseline else ""

    @property
    def reference(self) -> int:
        """The version that is compared with and rolled back to."""
        assert self.spec.reference is not None  # noqa: S101  # ``actions.start`` fills it in
        return self.spec.reference


class ModelRouting(msgspec.Struct, frozen=True):
    """Everything the control store holds of one model's requests, changed as one.

    The subject is ``route/NAME``. The rollout that moves a route and the route itself change in
    one write, so no process and no crash sees one without the other.

    Attributes:
        route: who answers; None: the newest version.
        rollout: the last rollout; None: there was none.
        experiment: the last experiment, as its floor writes it; None: there was none.
    """

    route: Route | None = None
    rollout: RolloutState | None = None
    experiment: dict[str, Any] | None = None
