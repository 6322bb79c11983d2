"""Where the versions answer, from what the processes told."""

from __future__ import annotations

from penstock.rollout.report import ProcessReport
from penstock.rollout.seen import Readiness, readiness
from penstock.router.counts import StageCounts


def told(*ready: int, **failures: str) -> ProcessReport:
    found = {int(name[1:]): text for name, text in failures.items()}
    return ProcessReport(1, StageCounts(), ready, found)


def test_all_ready() -> None:
    reports = {"a": told(1, 2), "b": told(1, 2)}
    assert readiness(["a", "b"], reports, reports, 2, 1) == Readiness(2, 2, 2)


def test_one_without_a_report_is_not_ready_and_the_dead_do_not_count() -> None:
    reports = {"a": told(1, 2), "dead": told(v2="broken")}
    assert readiness(["a", "new"], reports, {}, 2, 1) == Readiness(2, 1, 1)


def test_failures_are_told_once() -> None:
    reports = {"a": told(1, v2="no memory"), "b": told(1, v2="no memory", v1="old news")}
    assert readiness(["a", "b"], reports, {}, 2, 1).failures == ("no memory",)


def test_lost_is_what_was_ready_in_the_same_process() -> None:
    earlier = {"a": told(1, 2), "b": told(1), "c": told(1, 2)}
    now = {"a": told(1), "b": told(1), "c": told()}
    found = readiness(["a", "b", "c"], now, earlier, 2, 1)
    assert found.lost == 1  # a; b never was, and c lost both: it ends
    assert (found.candidate, found.reference) == (0, 2)
