"""Whether requests come in the shares that they should."""

from __future__ import annotations

import math

import pytest

from penstock.evidence.sample_ratio import log_e_value

SHARES = {"stable": 95.0, "canary": 5.0}


def test_no_requests_are_no_evidence() -> None:
    assert log_e_value({}, SHARES) == pytest.approx(0)
    assert log_e_value({"stable": 0, "canary": 0}, SHARES) == pytest.approx(0)


def test_the_wanted_shares_speak_for_themselves() -> None:
    assert log_e_value({"stable": 95_000, "canary": 5000}, SHARES) < 0


@pytest.mark.parametrize("canary", [400, 600])
def test_a_fifth_too_few_or_too_many(canary: int) -> None:
    assert log_e_value({"stable": 10_000 - canary, "canary": canary}, SHARES) > math.log(1000)


def test_only_the_ratio_of_the_shares_counts() -> None:
    counts = {"stable": 700, "canary": 50}

    assert log_e_value(counts, {"stable": 0.95, "canary": 0.05}) == pytest.approx(
        log_e_value(counts, SHARES)
    )


def test_requests_where_there_should_be_none() -> None:
    assert log_e_value({"stable": 1, "other": 1}, SHARES) == math.inf
    assert log_e_value({"stable": 1, "other": 1}, {**SHARES, "other": 0.0}) == math.inf
    assert log_e_value({"stable": 1, "other": 0}, {**SHARES, "other": 0.0}) < 0.1


def test_it_is_a_distribution_over_all_that_may_come() -> None:
    """Its mean is 1 where requests fall as they should."""
    mean = sum(
        math.comb(30, k)
        * 0.05**k
        * 0.95 ** (30 - k)
        * math.exp(log_e_value({"stable": 30 - k, "canary": k}, SHARES))
        for k in range(31)
    )

    assert mean == pytest.approx(1)


def test_a_billion_requests() -> None:
    assert log_e_value({"stable": 95 * 10**7, "canary": 5 * 10**7}, SHARES) < 0
    assert log_e_value({"stable": 94 * 10**7, "canary": 6 * 10**7}, SHARES) > 1e5
