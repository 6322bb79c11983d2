"""MLflow's schemas as tensors on the wire."""

from typing import Any

import pytest

from penstock.runtime.mlflow.field import read_fields


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


@pytest.mark.parametrize(
    ("item", "dtype", "shape"),
    [
        ({"type": "boolean"}, "BOOL", (-1,)),
        ({"type": "integer"}, "INT32", (-1,)),
        ({"type": "long"}, "INT64", (-1,)),
        ({"type": "float"}, "FP32", (-1,)),
        ({"type": "double"}, "FP64", (-1,)),
        ({"type": "string"}, "BYTES", (-1,)),
        ({"type": "binary"}, "BYTES", (-1,)),
        ({"type": "datetime"}, "BYTES", (-1,)),
        ({"type": "array", "items": {"type": "long"}}, "INT64", (-1, -1)),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "float"}}},
            "FP32",
            (-1, -1, -1),
        ),
        ({"type": "array", "items": {"type": "object", "properties": {}}}, "BYTES", (-1,)),
        ({"type": "sparkml_vector"}, "FP64", (-1, -1)),
        ({"type": "map", "values": {"type": "long"}}, "BYTES", (-1,)),
        ({"type": "any"}, "BYTES", (-1,)),
        (
            {"type": "tensor", "tensor-spec": {"dtype": "float16", "shape": [-1, 3]}},
            "FP16",
            (-1, 3),
        ),
        ({"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}, "BYTES", (-1,)),
        ({"type": "tensor", "tensor-spec": {"dtype": "object", "shape": [-1]}}, "BYTES", (-1,)),
    ],
)
def test_types(item: dict[str, Any], dtype: str, shape: tuple[int, ...]) -> None:
    (field,) = read_fields([item], "inputs")
    assert (field.spec.name, str(field.spec.dtype), field.spec.shape) == ("inputs", dtype, shape)
    assert field.column is None


def test_names_and_what_is_optional() -> None:
    fields = read_fields(
        [
            {"type": "long", "name": "a", "required": True},
            {"type": "long", "name": "b", "required": False},
            {"type": "long", "name": "c", "optional": True},
        ],
        "inputs",
    )
    assert [(f.column, f.spec.optional) for f in fields] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    unnamed = read_fields([{"type": "long"}, {"type": "long"}], "inputs")
    assert [f.spec.name for f in unnamed] == ["inputs_0", "inputs_1"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "spaceship"},
        tensor("complex64", -1),
        tensor("datetime64[ns]", -1),
    ],
)
def test_what_no_tensor_holds(item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"there is no column type|no Open Inference datatype"):
        read_fields([item], "inputs")
