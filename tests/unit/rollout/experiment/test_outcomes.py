"""Outcomes row by row: the good ones are taken, the bad ones named."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rollout.experiment.outcomes import parse_outcomes
from penstock.stores.experiment_log import PredictionOutcome

NOW_MS = 1_700_000_000_000
GOOD = {"prediction_id": "p", "metric": "m", "value": 1.5}


@pytest.mark.parametrize(
    ("value", "number"),
    [(2, 2.0), (0.25, 0.25), (True, 1.0), (False, 0.0), (-1, -1.0), (-1e100, -1e100)],
)
def test_numbers_and_yes_or_no_are_taken(value: Any, number: float) -> None:
    parsed = parse_outcomes([{**GOOD, "value": value}], NOW_MS)
    assert parsed.outcomes == [PredictionOutcome("p", "m", number, NOW_MS)]


def test_an_outcome_may_tell_its_time() -> None:
    parsed = parse_outcomes([{**GOOD, "at_ms": NOW_MS - 5}], NOW_MS)
    assert parsed.outcomes[0].at_ms == NOW_MS - 5


@pytest.mark.parametrize(
    ("row", "field", "text"),
    [
        ("text", "", "expected an object with prediction_id, metric, value, at_ms, got 'text'"),
        ([], "", "expected an object"),
        ({**GOOD, "valeu": 1}, "valeu", "no such field"),
        ({"metric": "m", "value": 1}, "prediction_id", "expected a text of 1 to 256 characters"),
        ({**GOOD, "prediction_id": 7}, "prediction_id", "got 7"),
        ({**GOOD, "prediction_id": "x" * 257}, "prediction_id", "1 to 256"),
        ({**GOOD, "prediction_id": "\ud800"}, "prediction_id", "got '\\ud800'"),
        ({**GOOD, "metric": ""}, "metric", "1 to 128"),
        ({**GOOD, "value": "cat"}, "value", "turn a label into a number first"),
        ({**GOOD, "value": "1"}, "value", "got the text '1'"),
        ({**GOOD, "value": None}, "value", "got nothing"),
        ({"prediction_id": "p", "metric": "m"}, "value", "got nothing"),
        ({**GOOD, "value": float("nan")}, "value", "expected a finite number"),
        ({**GOOD, "value": 10**400}, "value", "expected a finite number"),
        ({**GOOD, "value": 1e200}, "value", "from -1e+100 to 1e+100, got 1e+200"),
        ({**GOOD, "value": -sys.float_info.max}, "value", "from -1e+100 to 1e+100"),
        ({**GOOD, "value": [1]}, "value", "expected a number, true or false"),
        ({**GOOD, "at_ms": "now"}, "at_ms", "expected milliseconds since 1970"),
        ({**GOOD, "at_ms": True}, "at_ms", "expected milliseconds"),
        ({**GOOD, "at_ms": NOW_MS // 1000}, "at_ms", "seconds are multiplied by 1000"),
        ({**GOOD, "at_ms": NOW_MS + 2 * 86_400_000}, "at_ms", "more than a day ahead"),
    ],
)
def test_a_bad_row_is_named_and_loses_no_good_one(row: Any, field: str, text: str) -> None:
    parsed = parse_outcomes([GOOD, row, GOOD], NOW_MS)
    assert parsed.rows == [1, 3]
    (rejected,) = parsed.rejected
    assert (rejected.row, rejected.field) == (2, field)
    assert text in rejected.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["prediction_id", "metric", "value", "at_ms", "x"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.lists(_JSON, max_size=6))
def test_every_row_is_either_taken_or_rejected(rows: list[Any]) -> None:
    parsed = parse_outcomes(rows, NOW_MS)
    assert sorted([*parsed.rows, *(one.row for one in parsed.rejected)]) == list(
        range(1, len(rows) + 1)
    )
    assert len(parsed.outcomes) == len(parsed.rows)
