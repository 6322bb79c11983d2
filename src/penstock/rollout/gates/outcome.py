"""The gate of a user's own metric, told through outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from penstock.evidence import means, samples
from penstock.evidence.means import Moments
from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.names import name_of
from penstock.rollout.plan import CANDIDATE, REFERENCE, Levels
from penstock.rollout.sentences import at_level
from penstock.rollout.spec import OutcomeGate
from penstock.rollout.state import GateResult


def outcome(gate: OutcomeGate, told: Mapping[str, Moments], level: Levels) -> GateResult:
    """Whether a metric's mean is too much worse with the candidate.

    Fails where the mean is certain to be worse and the loss, as far as one can tell, is larger
    than what is allowed. Passes where the loss is certain to be allowed.

    Args:
        gate: which metric, and how much.
        told: its values by the variant's name, within one stage.
        level: of the rollout.
    """
    name = name_of(gate)
    new, old = told.get(CANDIDATE), told.get(REFERENCE)
    if new is None or old is None or not new.count or not old.count:
        who = "the candidate" if new is None or not new.count else "the reference"
        text = f"no outcome {gate.name!r} of requests to {who} yet"
        return GateResult(name, Verdict.NEED_MORE_DATA, text, bound=gate.max_loss)
    better, worse = (old, new) if gate.goal == "increase" else (new, old)
    surely = means.difference_interval(better, worse, level.fail)
    allowed = means.difference_interval(better, worse, level.promote)
    loss = better.mean - worse.mean
    verdict, tail = Verdict.NEED_MORE_DATA, f"the loss may be {allowed.high:.3g}"
    if surely.low > 0 and loss > gate.max_loss:
        verdict, tail = Verdict.FAIL, f"worse {at_level(level.fail)}"
    elif allowed.high <= gate.max_loss:
        verdict = Verdict.PASS
        tail = f"the loss is at most {allowed.high:.3g} {at_level(level.promote)}"
    is_open = verdict is Verdict.NEED_MORE_DATA
    needed = samples.more_needed(new.count, allowed.high - loss, gate.max_loss - loss)
    return GateResult(
        name,
        verdict,
        f"{gate.name} is {new.mean:.4g} over {new.count:,} outcomes of the candidate, "
        f"{old.mean:.4g} over {old.count:,} of the reference: {tail}",
        bound=gate.max_loss,
        candidate=new.mean,
        reference=old.mean,
        low=allowed.low if math.isfinite(allowed.low) else None,
        high=allowed.high if math.isfinite(allowed.high) else None,
        samples=new.count,
        needed=needed if is_open and needed < samples.MANY else None,
    )
