"""What a manifest says of a signature."""

from typing import Any

import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.repository.manifest import Manifest, SignatureFields, TensorField
from penstock.runtime.declared import declare, spec_of

MODEL = ModelSignature(
    (TensorSpec("x", DType.FP32, (-1, -1), ("n", "len")),), (TensorSpec("y", DType.FP32, (-1,)),)
)
FIXED = ModelSignature((TensorSpec("x", DType.FP32, (1, 4)),), (), batched=False)


def said(**field: Any) -> Manifest:
    return Manifest(signature=SignatureFields(inputs=(TensorField(**field),)))


def test_nothing_said_nothing_changed() -> None:
    assert declare(MODEL, Manifest()) == MODEL


def test_what_the_manifest_knows_better() -> None:
    manifest = said(
        name="x",
        datatype="FP32",
        shape=(-1, 8),
        optional=True,
        labels=("a", "b"),
        description="text",
    )
    assert declare(MODEL, manifest).inputs == (
        TensorSpec("x", DType.FP32, (-1, 8), ("n", "len"), True, ("a", "b"), "text"),
    )


def test_batches_can_be_switched_off_but_not_on() -> None:
    assert not declare(MODEL, Manifest(max_batch_size=0)).batched
    assert declare(MODEL, Manifest(max_batch_size=4)).batched
    assert not declare(FIXED, Manifest(max_batch_size=0)).batched
    with pytest.raises(ConfigError) as caught:
        declare(FIXED, Manifest(max_batch_size=4))
    assert caught.value.message == (
        "max_batch_size is 4, but a tensor's first dimension is fixed: export the model with a "
        "free batch dimension, or say max_batch_size: 0"
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (
            {"name": "z", "datatype": "FP32", "shape": (-1,)},
            "signature declares ['z'], but the model has ['x']",
        ),
        (
            {"name": "x", "datatype": "FP64", "shape": (-1, -1)},
            "signature: 'x' is FP32 of shape [-1, -1] in the model, got FP64 [-1, -1]",
        ),
        (
            {"name": "x", "datatype": "FP32", "shape": (-1,)},
            "signature: 'x' is FP32 of shape [-1, -1] in the model, got FP32 [-1]",
        ),
        (
            {"name": "x", "datatype": "FLOAT", "shape": (-1,)},
            f"signature: 'x' has the datatype 'FLOAT', expected one of {[str(d) for d in DType]}",
        ),
    ],
)
def test_what_cannot_be(field: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declare(MODEL, said(**field))
    assert caught.value.message == text


def test_a_field_as_a_declaration() -> None:
    field = TensorField(name="x", datatype="BYTES", shape=(-1,))
    assert spec_of(field) == TensorSpec("x", DType.BYTES, (-1,))
