"""Evidence: all that a decision is made of. Values only; the controller collects them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from penstock.evidence.means import Moments
from penstock.rollout.report import ProcessReport
from penstock.router.counts import StageCounts


class Readiness(msgspec.Struct, frozen=True):
    """Where the two versions answer.

    Attributes:
        processes: how many serve; 0: not known.
        candidate, reference: in how many of them the version is ready.
        failures: why the candidate is not, each reason once.
        lost: in how many the candidate was ready at an earlier look and is no more, while the
            reference still is.
    """

    processes: int = 0
    candidate: int = 0
    reference: int = 0
    failures: tuple[str, ...] = ()
    lost: int = 0


class Reading(msgspec.Struct, frozen=True):
    """What a Prometheus query gave.

    Attributes:
        value: the last one; None: there was none.
        why: why there was none; "": there was one.
        in_a_row: looks in a row, this one included, that ``gates.read_verdict`` says the same of.
    """

    value: float | None
    why: str = ""
    in_a_row: int = 1


class Evidence(msgspec.Struct, frozen=True):
    """What is known at one look.

    Attributes:
        counts: of all processes together; of another stage than the present: as if there were
            none.
        readiness: of the two versions.
        outcomes: the values of each metric by the variant's name, of the state's
            ``outcome_stage``.
        prometheus: by the gate's place among the stage's gates.
        golden: None: not asked yet; "": all answers were right; else what differs.
    """

    counts: StageCounts = msgspec.field(default_factory=StageCounts)
    readiness: Readiness = Readiness()
    outcomes: Mapping[str, Mapping[str, Moments]] = {}
    prometheus: Mapping[int, Reading] = {}
    golden: str | None = None


def readiness(
    processes: Collection[str],
    reports: Mapping[str, ProcessReport],
    earlier: Mapping[str, ProcessReport],
    candidate: int,
    reference: int,
) -> Readiness:
    """Where two versions answer.

    Args:
        processes: the ids of those that serve; one without a report counts as not ready.
        reports: what each process told last of the model, by its id; the dead are left out.
        earlier: the same of the look before, {} where there was none.
        candidate: the new version.
        reference: the version it is compared with.
    """
    alive = [(id_, reports[id_]) for id_ in sorted(processes) if id_ in reports]
    reasons = [told.failures[candidate] for _, told in alive if candidate in told.failures]
    lost = [
        id_
        for id_, told in alive
        if id_ in earlier
        and candidate in earlier[id_].ready
        and candidate not in told.ready
        and reference in told.ready
    ]
    return Readiness(
        processes=len(processes),
        candidate=sum(candidate in told.ready for _, told in alive),
        reference=sum(reference in told.ready for _, told in alive),
        failures=tuple(dict.fromkeys(reasons)),
        lost=len(lost),
    )
