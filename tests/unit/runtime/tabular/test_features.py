"""Features as one matrix or as columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Tensor, object_array
from penstock.repository.manifest import SignatureFields, TensorField
from penstock.runtime.tabular.features import Style, column_inputs, numeric_inputs
from tests.contract.runtime_contract import artifact

NAMES = ["a", "b", "c"]


def declared(*fields: TensorField) -> Any:
    return artifact(Path("m"), "lightgbm", signature=SignatureFields(inputs=fields))


def column(name: str, dtype: DType, values: list[Any]) -> Tensor:
    is_text = dtype is DType.BYTES
    return Tensor(name, dtype, object_array(values) if is_text else np.array(values, dtype.numpy))


def test_a_matrix_is_passed_on_as_it_came() -> None:
    inputs = numeric_inputs(declared(), 3, [], DType.FP64, "auto")
    x = Tensor("x", DType.FP64, np.zeros((2, 3)))
    assert inputs.read([x]) is x.array


def test_a_long_list_of_names_is_cut() -> None:
    names = [f"f{i}" for i in range(60)]
    inputs = numeric_inputs(declared(), 60, names, DType.FP64, "auto")
    assert inputs.specs[0].description.endswith("f48, f49 and 10 more")


@pytest.mark.parametrize("style", ["auto", "columns"])
def test_columns_come_in_any_order_and_datatype(style: Style) -> None:
    field = TensorField(name="b", datatype="INT8", shape=(-1,), optional=True)
    inputs = numeric_inputs(declared(field), 3, NAMES, DType.FP32, style)
    assert [(s.name, s.dtype, s.optional) for s in inputs.specs] == [
        ("a", DType.FP32, False),
        ("b", DType.INT8, True),
        ("c", DType.FP32, False),
    ]
    a = column("a", DType.FP32, [2, 2])
    b = column("b", DType.INT8, [1, 1])
    c = column("c", DType.FP32, [0, 0])
    assert inputs.read([c, b, a]).tolist() == [[2, 1, 0]] * 2
    assert inputs.read([c, a]).dtype == np.float32


def test_what_is_left_out_is_missing() -> None:
    columns = column_inputs(declared(), {"n": DType.FP32, "i": DType.INT32, "t": DType.BYTES})
    read = columns.read([column("n", DType.FP32, [1, 2])])
    assert (read["i"].tolist(), read["t"].tolist()) == ([0, 0], ["", ""])
    assert np.isnan(columns.read([column("i", DType.INT32, [1])])["n"]).all()


@pytest.mark.parametrize(
    ("fields", "names", "style", "said"),
    [
        ((), [], "columns", "features have no names"),
        ((TensorField(name="x", datatype="FP31", shape=(-1, 3)),), [], "auto", "'FP31'"),
        ((TensorField(name="x", datatype="BF16", shape=(-1, 3)),), [], "auto", "takes numbers"),
        ((TensorField(name="a", datatype="BYTES", shape=(-1,)),), NAMES, "auto", "takes numbers"),
    ],
)
def test_what_cannot_be_is_refused(fields: Any, names: list[str], style: Any, said: str) -> None:
    with pytest.raises(LoadFailed, match=said) as caught:
        numeric_inputs(declared(*fields), 3, names, DType.FP64, style)
    assert caught.value.message.startswith("'m' version 1")


def test_a_width_nobody_knows_is_the_manifests() -> None:
    with pytest.raises(LoadFailed, match="does not say how many features it takes"):
        numeric_inputs(declared(), -1, [], DType.FP64, "auto")
    field = TensorField(name="values", datatype="FP32", shape=(-1, 5))
    inputs = numeric_inputs(declared(field), -1, [], DType.FP64, "auto")
    assert inputs.specs[0].shape == (-1, 5)
