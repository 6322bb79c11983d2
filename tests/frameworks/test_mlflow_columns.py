"""Tables of many columns, as an MLflow model takes them."""

import sys
from types import FrameType

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.signature import TensorSpec
from penstock.core.tensor import object_array

pd = pytest.importorskip("pandas")

from penstock.runtime.mlflow.columns import to_model  # noqa: E402  # as above
from penstock.runtime.mlflow.field import Field  # noqa: E402  # as above


def column(name: str | None, element: str = "double", dtype: DType = DType.FP64) -> Field:
    return Field(name, element, False, TensorSpec(name or "inputs", dtype, (-1,)))


def test_a_table_has_a_copy_of_each_column_under_its_name_and_of_its_type() -> None:
    fields = [
        column("a"),
        column("b", "long", DType.INT64),
        column("c", "string", DType.BYTES),
        column("left out"),
        column("d"),
    ]
    arrays = {
        "a": np.array([1.5, np.nan]),
        "b": np.array([1, 2]),
        "c": object_array(["x", "y"]),
        "d": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }
    table = to_model(fields, arrays)
    assert [str(dtype) for dtype in table.dtypes] == ["float64", "int64", "object", "object"]
    assert list(table.columns) == ["a", "b", "c", "d"]
    assert [row.tolist() for row in table["d"]] == [[1.0, 2.0], [3.0, 4.0]]
    table.loc[0, "a"] = 9.0
    assert arrays["a"][0] == 1.5


def test_a_column_without_a_name_is_numbered() -> None:
    table = to_model([column(None)], {"inputs": np.zeros(2)})
    assert table.columns.equals(pd.RangeIndex(1))


def test_a_further_column_costs_little() -> None:
    """Joining a Series for each column calls six times as many functions."""
    assert (calls_for(100) - calls_for(50)) / 50 < 60


def calls_for(columns: int) -> int:
    """Python functions called to make a table of so many columns."""
    names = [f"x{number}" for number in range(columns)]
    arrays = {name: np.zeros(4) for name in names}
    fields = [column(name) for name in names]
    to_model(fields, arrays)  # pandas imports some of itself at first use
    count = 0

    def on_event(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(on_event)
    try:
        to_model(fields, arrays)
    finally:
        sys.setprofile(None)
    return count
