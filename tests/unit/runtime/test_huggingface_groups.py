"""Texts of similar length run together."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.runtime.length_groups import group_by_length


@given(st.lists(st.integers(0, 512), max_size=40), st.integers(1, 50) | st.none())
def test_each_row_runs_once_and_little_is_padding(lengths: list[int], max_rows: int | None) -> None:
    groups = group_by_length(lengths, max_rows)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert max_rows is None or len(group) <= max_rows
        shortest = min(lengths[row] for row in group)
        assert max(lengths[row] for row in group) <= shortest + max(8, shortest // 4)


def test_equal_lengths_are_one_group() -> None:
    assert group_by_length([5, 5, 5]) == [[0, 1, 2]]
    assert group_by_length([100, 3, 4]) == [[1, 2], [0]]
    assert group_by_length([5, 5, 5], 2) == [[0, 1], [2]]
