"""What a zero-shot request asks, and what its scores are."""

from typing import Any

import numpy as np
import pytest

from penstock.core.errors import InvalidArgument, InvalidInput
from penstock.runtime.huggingface.candidates import (
    MAX_LABELS,
    Question,
    check_count,
    combine_scores,
    split_labels,
)


def test_parameters_win_over_the_manifest() -> None:
    manifest = Question(("a",), "x {}", multi_label=True)
    assert manifest.with_parameters({"stranger": 1}) == manifest
    parameters = {"candidate_labels": "b, c", "hypothesis_template": "{}?", "multi_label": False}
    assert manifest.with_parameters(parameters) == Question(("b", "c"), "{}?", multi_label=False)
    assert manifest.with_parameters({"candidate_labels": ""}).labels == ()


@pytest.mark.parametrize(
    "parameters", [{"candidate_labels": 1}, {"multi_label": 1}, {"hypothesis_template": "no slot"}]
)
def test_wrong_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"parameter '{next(iter(parameters))}'"):
        Question().with_parameters(parameters)


def test_labels_with_commas() -> None:
    assert split_labels(" a b ,c,, ") == ("a b", "c")
    assert Question(template="{} and {}").hypothesis("{0.x}") == "{0.x} and {0.x}"


def test_the_number_of_labels() -> None:
    check_count(0, ["a"] * MAX_LABELS)
    for labels in ([], ["a"] * (MAX_LABELS + 1)):
        with pytest.raises(InvalidInput) as caught:
            check_count(4, labels)
        assert caught.value.index == 4


def test_scores() -> None:
    logits = np.array([[[0.0, 9.0, 1.0], [0.0, 9.0, 3.0]]], np.float32)
    together = combine_scores(logits, entailment=2, contradiction=0, multi_label=False)
    np.testing.assert_allclose(together, [[0.119203, 0.880797]], atol=1e-6)
    alone = combine_scores(logits, entailment=2, contradiction=0, multi_label=True)
    np.testing.assert_allclose(alone, [[0.731059, 0.952574]], atol=1e-6)
    one = combine_scores(logits[:, :1], entailment=2, contradiction=0, multi_label=False)
    np.testing.assert_allclose(one, [[0.731059]], atol=1e-6)
    large = combine_scores(logits * 1e4, entailment=2, contradiction=0, multi_label=False)
    np.testing.assert_allclose(large, [[0, 1]])
    assert together.dtype == np.float32
