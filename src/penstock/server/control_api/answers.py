"""What the control API answers. Values only; the server encodes them, the Python client reads them.

A field that is not known here is passed over, so that a client may be older than its server.
"""

from __future__ import annotations

import msgspec

from penstock.rollout.spec import RolloutSpec
from penstock.rollout.state import GateResult, Phase, Transition
from penstock.router.counts import Example
from penstock.router.route import Route


class VariantAnswer(msgspec.Struct, frozen=True):
    """What one variant did since its stage began, in all serving processes together.

    Attributes:
        version: which version it is; None: the route has no such variant any more.
        weight: its share now, in percent.
        requests: answered, or failed by the server's or the model's fault.
        errors: of those, the failed ones.
        refused: requests that failed by the client's own fault.
        non_finite: answers with a NaN or an infinity.
        codes: the failed ones by error code.
        p50_ms, p99_ms: server-side latency, in milliseconds; None: nothing was answered yet.
        predictions: answers by predicted class, or by decile of the score, of one row drawn.
    """

    version: int | None = None
    weight: float = 0.0
    requests: int = 0
    errors: int = 0
    refused: int = 0
    non_finite: int = 0
    codes: dict[str, int] = {}
    p50_ms: float | None = None
    p99_ms: float | None = None
    predictions: dict[str, int] = {}


class ShadowAnswer(msgspec.Struct, frozen=True):
    """What came of the copies for a shadow.

    Attributes:
        version: who gets the copies; None: nobody any more.
        comparison: the comparison that is made; "": none yet.
        pairs: copies compared.
        agreed: sum of the parts of their rows that agree.
        errors: copies that the shadow failed to answer.
        shed: copies that were not made, or not waited for.
        p50_ms, p99_ms: latency of the answered copies, in milliseconds; None: there is none.
    """

    version: int | None = None
    comparison: str = ""
    pairs: int = 0
    agreed: float = 0.0
    errors: int = 0
    shed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class ProcessAnswer(msgspec.Struct, frozen=True):
    """What one serving process told last of a model.

    Attributes:
        id: of the process.
        at_ms: when it told, in milliseconds since 1970.
        ready: the model's versions that answer there.
        failures: why a version does not, by its number.
    """

    id: str
    at_ms: int
    ready: tuple[int, ...] = ()
    failures: dict[str, str] = {}


class Seen(msgspec.Struct, frozen=True):
    """What was counted of a model since its stage began.

    Attributes:
        stage: the stage.
        variants: by the variant's name.
        shadow: of the copies; None: there are none.
        unkeyed: requests that had no routing key where the route wants one.
        processes: who told.
    """

    stage: str = ""
    variants: dict[str, VariantAnswer] = {}
    shadow: ShadowAnswer | None = None
    unkeyed: int = 0
    processes: tuple[ProcessAnswer, ...] = ()


class RouteAnswer(msgspec.Struct, frozen=True):
    """Who answers the requests of one model.

    Attributes:
        model: the model's name.
        route: the route; None: the newest version that is ready answers.
        rollout: the phase of the rollout that moves it; "": none does.
        experiment: the experiment that it belongs to; "": none.
        ready: the versions that answer in the process that was asked.
        seen: what was counted; None: nothing is.
        notes: what should be known beside it, a sentence each.
    """

    model: str
    route: Route | None = None
    rollout: str = ""
    experiment: str = ""
    ready: tuple[int, ...] = ()
    seen: Seen | None = None
    notes: tuple[str, ...] = ()


class RolloutAnswer(msgspec.Struct, frozen=True):
    """Where a rollout stands.

    Attributes:
        model: the model's name.
        id: unlike that of any other rollout.
        phase: where it is.
        stage: the same in words, such as ``canary 5 %``.
        step: the index of the canary's step; 0 in every other phase.
        is_paused: whether it stays where it is until somebody resumes it.
        is_over: whether nothing follows.
        candidate: the new version.
        reference: the version it is compared with; None: not chosen yet.
        weight: the candidate's share of the requests now, in percent.
        entered_ms: when this phase or step began, in milliseconds since 1970.
        explanation: what it waits for, or how it ended, and why.
        gates: what each gate says now, with its numbers.
        seen: what was counted in this stage.
        history: every change so far, the oldest first.
        spec: the plan; of its URLs only the hosts, since their paths often are secrets.
        route: who answers now; None: the newest version that is ready.
        notes: what should be known beside it, a sentence each.
    """

    model: str
    id: str
    phase: Phase
    stage: str
    spec: RolloutSpec
    step: int = 0
    is_paused: bool = False
    is_over: bool = False
    candidate: int = 0
    reference: int | None = None
    weight: float = 0.0
    entered_ms: int = 0
    explanation: str = ""
    gates: tuple[GateResult, ...] = ()
    seen: Seen = Seen()
    history: tuple[Transition, ...] = ()
    route: Route | None = None
    notes: tuple[str, ...] = ()


class HistoryEntry(msgspec.Struct, frozen=True):
    """One change of a model's route or rollout.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        what: what was reached, such as ``canary 5 %``, ``rolled back`` or ``route set``.
        who: who asked for it; ``controller``: it was decided on evidence.
        why: for what reason.
        rollout: the id of the rollout; "": it was none's.
        gates: the answers that led to it.
    """

    at_ms: int
    what: str
    who: str
    why: str
    rollout: str = ""
    gates: tuple[GateResult, ...] = ()


class History(msgspec.Struct, frozen=True):
    """Everything that was changed of one model.

    Attributes:
        model: the model's name.
        history: the changes, the oldest first.
    """

    model: str
    history: tuple[HistoryEntry, ...]


class Routes(msgspec.Struct, frozen=True):
    """Every model that has a route.

    Attributes:
        routes: by the model's name.
    """

    routes: tuple[RouteAnswer, ...]


class Rollouts(msgspec.Struct, frozen=True):
    """The last rollout of every model that had one.

    Attributes:
        rollouts: by the model's name.
    """

    rollouts: tuple[RolloutAnswer, ...]


class Disagreements(msgspec.Struct, frozen=True):
    """The answers of a shadow that differ most from those that the clients got.

    Attributes:
        model: the model's name.
        version: the shadow's; None: there is none any more.
        comparison: the comparison that is made; "": none yet.
        examples: the largest differences, the largest first.
    """

    model: str
    version: int | None = None
    comparison: str = ""
    examples: tuple[Example, ...] = ()
