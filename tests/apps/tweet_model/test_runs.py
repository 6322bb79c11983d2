"""How a batch is cut into runs, by example and by law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.tweet_model.committed import module

_runs = module("runs")
cut, RUN_COST = _runs.runs_of_like_length, _runs.RUN_COST


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [
        ([], []),
        ([20], [[0]]),
        ([40, 8], [[1], [0]]),
        ([20, 20, 20, 20, 20], [[0, 1, 2, 3], [4]]),
        ([24, 20], [[1, 0]]),
        ([25, 20], [[1], [0]]),
        ([20, 20, 22, 24], [[0, 1, 2], [3]]),
    ],
)
def test_rows_share_a_run_where_padding_costs_less_than_a_run(
    lengths: list[int], runs: list[list[int]]
) -> None:
    assert cut(lengths, 4) == runs


@given(st.lists(st.integers(2, 130), max_size=80), st.integers(1, 16))
def test_each_row_runs_once_and_no_run_pads_more_than_it_saves(
    lengths: list[int], max_rows: int
) -> None:
    runs = cut(lengths, max_rows)
    assert sorted(row for run in runs for row in run) == list(range(len(lengths)))
    for run in runs:
        assert 1 <= len(run) <= max_rows
        longest = lengths[run[-1]]
        assert sum(longest - lengths[row] for row in run) <= RUN_COST * (len(run) - 1)
