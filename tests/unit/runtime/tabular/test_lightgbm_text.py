"""The check of LightGBM's text, on a text of the same build."""

import pytest

from penstock.runtime.tabular.lightgbm_text import find_fault, read_header
from penstock.runtime.tabular.lightgbm_tree import find_tree_fault

TREE = b"""num_leaves=3
num_cat=1
split_feature=0 3
split_gain=1 2
threshold=0 1e-35
decision_type=1 10
left_child=1 -1
right_child=-3 -2
cat_boundaries=0 2
cat_threshold=7 8
leaf_value=0.1 nan -inf
leaf_weight=
leaf_count=1 1 1


"""
TREES = [b"Tree=%d\n" % i + TREE for i in range(3)]
SIZES = b" ".join(b"%d" % len(tree) for tree in TREES)
HEAD = b"tree\nmax_feature_idx=3\nobjective=binary sigmoid:1\ntree_sizes=" + SIZES + b"\n\n"
WHOLE = HEAD + b"".join(TREES) + b"end of trees\n\nparameters:\n[seed: 0]\nend of parameters\n"


def test_a_whole_text_has_no_fault() -> None:
    assert find_fault(WHOLE) is None
    assert read_header(WHOLE)["objective"] == "binary sigmoid:1"
    assert "num_leaves" not in read_header(WHOLE)


def test_every_cut_before_the_end_of_the_trees_is_found() -> None:
    end = WHOLE.index(b"end of trees") + len(b"end of trees")
    for kept in range(end):
        assert find_fault(WHOLE[:kept]) is not None, kept
    assert find_fault(WHOLE[:end]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "does not begin with the line 'tree'"),
        (WHOLE.replace(b"\n", b"\r\n"), "line ends were changed"),
        (HEAD, "it ends before its first tree, or has none"),
        (WHOLE.replace(b"Tree=1", b"Tree=7"), "tree 1 of 3 is not where its header says"),
        (WHOLE.replace(b"num_cat=1\n", b"num_cat=01\n", 1), "tree 1 of 3 is not where"),
        (WHOLE.replace(b"leaf_value", b"leaf_valve"), "tree 0 of 3: its field 'leaf_value' is"),
        (WHOLE.replace(b"max_feature_idx=3", b"max_feature_idx=x"), "are no numbers"),
        (WHOLE.replace(SIZES, SIZES[:-3]), "does not end after its 2 trees"),
        (WHOLE.replace(SIZES, b"many"), "are no numbers"),
    ],
)
def test_what_is_wrong_is_told(text: bytes, said: str) -> None:
    fault = find_fault(text)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"num_leaves=3", b"num_leaves=0", "it has 0 leaves"),
        (b"num_leaves=3", b"num_leaves=abc", "something else than numbers"),
        (b"num_leaves=3", b"num_leaves=999999999", "expected 999999999"),
        (b"split_feature=0 3", b"split_feature=0", "split_feature has 1 numbers, expected 2"),
        (b"split_feature=0 3", b"split_feature=0 4", "a feature that is none of 4"),
        (b"split_feature=0 3", b"split_feature=-1 3", "a feature that is none of 4"),
        (b"split_gain=1 2", b"split_gain=1 2 3", "split_gain has 3 numbers"),
        (b"threshold=0 1e", b"threshold=0 x1e", "something else than numbers"),
        (b"left_child=1 -1", b"left_child=0 -1", "left_child leads nowhere, or in a circle"),
        (b"left_child=1 -1", b"left_child=2 -1", "left_child leads nowhere, or in a circle"),
        (b"right_child=-3 -2", b"right_child=-4 -2", "right_child leads nowhere"),
        (b"right_child=-3 -2", b"right_child=-3 0", "right_child leads nowhere"),
        (b"threshold=0 1e-35", b"threshold=1 1e-35", "a category set it lacks"),
        (b"cat_boundaries=0 2", b"cat_boundaries=0 3", "do not fit its categories"),
        (b"cat_boundaries=0 2", b"cat_boundaries=0 1 2", "do not fit its categories"),
        (b"cat_threshold=7 8\n", b"", "its field 'cat_threshold' is missing"),
        (b"left_child=1 -1\n", b"", "its field 'left_child' is missing"),
    ],
)
def test_a_tree_that_cannot_be_walked(old: bytes, new: bytes, said: str) -> None:
    assert find_tree_fault(TREE, 4) is None
    fault = find_tree_fault(TREE.replace(old, new, 1), 4)
    assert fault is not None
    assert said in fault


def test_a_tree_of_one_leaf() -> None:
    assert find_tree_fault(b"num_leaves=1\nnum_cat=0\nleaf_value=0.5\n", 4) is None
