"""Which comparison is made, and what cannot even be compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument
from penstock.core.tensor import Tensor
from penstock.router.compare import (
    COMPARISONS,
    check_permitted,
    choose,
    compare,
    load_comparison,
)
from penstock.router.compare_rows import MAX_DIFFERENCE, by_class, by_score
from penstock.router.route import Route, Shadow, Variant, check_route

OWN = """
import numpy as np

def half(primary, shadow, tolerance):
    return np.abs(primary - shadow).mean(axis=1) / 2

def wrong(primary, shadow, tolerance):
    return 0.0

def nothing(primary, shadow, tolerance):
    return [float("nan")] * len(primary)

def ends(primary, shadow, tolerance):
    raise SystemExit(1)

NUMBER = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with a user's own comparisons."""
    (tmp_path / "own_comparisons.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("1 / 0")
    (tmp_path / "own_ending.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_comparisons", raising=False)
    return "own_comparisons"


def tensor(values: Any, dtype: DType = DType.FP32) -> Tensor:
    return Tensor("y", dtype, np.array(values, dtype.numpy))


@pytest.mark.parametrize(
    ("values", "dtype", "chosen"),
    [
        ([[1, 2]], DType.INT64, "class"),
        ([True], DType.BOOL, "class"),
        ([b"cat"], DType.BYTES, "class"),
        ([[0.25, 0.75], [1.0, 0.0]], DType.FP32, "class"),
        ([[0.25, 0.752], [np.nan, 0.0]], DType.FP32, "class"),
        ([[0.25, 0.25]], DType.FP32, "score"),
        ([[-0.5, 1.5]], DType.FP32, "score"),
        ([[1.0], [1.0]], DType.FP32, "score"),
        ([1.0, 0.0], DType.FP32, "score"),
        ([[[0.5, 0.5]]], DType.FP32, "score"),
        ([[np.nan, np.inf]], DType.FP32, "score"),
        (np.zeros((0, 3)), DType.FP32, "score"),
        ([[0x3F00, 0x3F00]], DType.BF16, "class"),
    ],
)
def test_auto_goes_by_dtype_and_values(values: Any, dtype: DType, chosen: str) -> None:
    assert choose(tensor(values, dtype)) == chosen


def test_auto_goes_by_labels_where_there_are_some() -> None:
    logits = tensor([[-3.0, 4.0]])
    assert choose(logits) == "score"
    assert choose(logits, ("no", "yes")) == "class"


def test_auto_of_a_model_without_rows_takes_the_tensor_for_one() -> None:
    assert choose(tensor([0.5, 0.5]), is_batched=False) == "class"


@pytest.mark.parametrize(
    ("shadow", "form"),
    [
        (tensor([[1.0, 2.0, 3.0]] * 2), "FP32 [2, 3]"),
        (tensor([[1.0, 2.0]] * 3), "FP32 [3, 2]"),
        (tensor([[1, 2]] * 2, DType.INT32), "INT32 [2, 2]"),
    ],
)
def test_another_form_disagrees_in_every_row_and_is_told(shadow: Tensor, form: str) -> None:
    found = compare(by_class, tensor([[1.0, 2.0]] * 2), shadow, 1.0)
    assert found.agrees.tolist() == [False, False]
    assert found.differences.tolist() == [MAX_DIFFERENCE] * 2
    assert found.why.startswith("output 'y': the primary gave FP32 [2, 2]")
    assert found.why.endswith(form)


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_nothing_agrees_with_nothing(comparison: Any) -> None:
    no_values = tensor(np.zeros((2, 0)))
    assert compare(comparison, no_values, no_values, 0.0).agrees.tolist() == [True, True]
    no_rows = tensor(np.zeros((0, 2)))
    assert compare(comparison, no_rows, no_rows, 0.0).agrees.tolist() == []


def test_a_model_without_rows_has_one() -> None:
    found = compare(by_score, tensor([1.0, 2.0]), tensor([1.0, 4.0]), 1.0, is_batched=False)
    assert found.differences.tolist() == [2.0]
    scalar = compare(by_score, tensor(1.0), tensor(1.5), 1.0)
    assert scalar.differences.tolist() == [0.5]


def test_bf16_is_read_as_numbers() -> None:
    found = compare(by_score, tensor([0x3F80], DType.BF16), tensor([0x4000], DType.BF16), 0.5)
    assert found.differences.tolist() == [1.0]


def test_views_that_are_not_aligned_are_compared() -> None:
    body = b"." + np.array([[0.1, 0.9]], np.float32).tobytes()
    odd = np.frombuffer(memoryview(body)[1:], "<f4").reshape(1, 2)
    found = compare(by_class, Tensor("y", DType.FP32, odd), tensor([[0.2, 0.8]]), 0.0)
    assert found.agrees.tolist() == [True]


def test_a_users_own(own: str) -> None:
    found = compare(
        load_comparison(f"{own}:half"),
        tensor([[1.0, 2.0], [0, 8]]),
        tensor([[1.0, 4.0], [0, 0]]),
        1.0,
    )
    assert found.differences.tolist() == [0.5, 2.0]
    assert found.agrees.tolist() == [True, False]


def test_a_users_own_may_know_nothing(own: str) -> None:
    found = compare(load_comparison(f"{own}:nothing"), tensor([[1.0]]), tensor([[1.0]]), 1.0)
    assert found.agrees.tolist() == [False]
    assert found.differences.tolist() == [MAX_DIFFERENCE]


def test_a_users_own_has_to_tell_every_row(own: str) -> None:
    with pytest.raises(InvalidArgument, match="one difference for each of 2 rows"):
        compare(load_comparison(f"{own}:wrong"), tensor([[1.0]] * 2), tensor([[1.0]] * 2), 1.0)


def test_a_users_own_does_not_end_the_server(own: str) -> None:
    with pytest.raises(InvalidArgument, match="wants to end the process"):
        compare(load_comparison(f"{own}:ends"), tensor([[1.0]]), tensor([[1.0]]), 1.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("clas", "did you mean 'class'"),
        ("own_comparisons:absent", "cannot be imported: AttributeError"),
        ("own_comparisons:NUMBER", "no function but a int"),
        ("own_broken:half", "cannot be imported: ZeroDivisionError"),
        ("own_ending:half", "cannot be imported: SystemExit"),
        ("no_such_module:half", "cannot be imported: ModuleNotFoundError"),
        (":half", "or name your own as module:function"),
        ("own_comparisons:", "or name your own as module:function"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_no_comparison_is_refused(name: str, text: str) -> None:
    with pytest.raises((ConfigError, InvalidArgument), match=text):
        load_comparison(name)


def test_a_route_with_no_such_comparison_is_refused() -> None:
    variants = (Variant(name="stable", version=1, weight=100),)
    check_route(Route(variants=variants, shadow=Shadow(version=2, compare="own:half")))
    with pytest.raises(InvalidArgument, match="did you mean 'cosine'"):
        check_route(Route(variants=variants, shadow=Shadow(version=2, compare="cosin")))


def test_functions_are_those_that_the_settings_name() -> None:
    check_permitted("cosine", ())
    check_permitted("mine:half", ("mine:half",))
    with pytest.raises(InvalidArgument, match="add it to the setting shadow_comparisons"):
        check_permitted("os:system", ("mine:half",))
