"""The example requests of the OpenAPI document and of the banner."""

from __future__ import annotations

import json

import pytest

from penstock.core.dtype import DType
from penstock.core.ids import LATEST
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.server.example import example_curl, example_request


def signature(*inputs: TensorSpec) -> ModelSignature:
    batched = all(spec.shape[:1] == (-1,) for spec in inputs)
    return ModelSignature(inputs, (TensorSpec("y", DType.FP32, (-1,)),), batched)


@pytest.mark.parametrize("dtype", [d for d in DType if d not in (DType.FP16, DType.BF16)])
@pytest.mark.parametrize("shape", [(-1,), (-1, 3), (2, 2), (), (0, 4)])
def test_an_example_is_a_request_that_fits(dtype: DType, shape: tuple[int, ...]) -> None:
    wanted = signature(TensorSpec("x", dtype, shape), TensorSpec("z", dtype, shape, optional=True))
    example = example_request(wanted)
    assert example is not None
    decoded = decode_infer(
        json.dumps(example).encode(),
        model="m",
        choice=LATEST,
        header_length=None,
        signature_of=lambda: wanted,
        now_ns=0,
    )
    assert [tensor.name for tensor in decoded.request.inputs] == ["x"]
    wanted.check("m", decoded.request.inputs, None)


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("x", DType.FP16, (-1, 3)),
        TensorSpec("x", DType.BF16, (-1,)),
        TensorSpec("x", DType.FP32, (-1, 1000, 1000)),
    ],
)
def test_what_has_no_example(spec: TensorSpec) -> None:
    assert example_request(signature(spec)) is None
    assert example_curl("m", signature(spec), "http://x") is None


def test_a_model_of_optional_inputs_shows_one() -> None:
    spec = TensorSpec("x", DType.INT64, (-1,), optional=True)
    example = example_request(signature(spec, spec))
    assert example is not None
    assert len(example["inputs"]) == 1


def test_the_curl_line_is_short_or_not_there() -> None:
    assert example_curl("m", signature(TensorSpec("x", DType.FP32, (-1, 2))), "http://x:1") == (
        "curl -s http://x:1/v2/models/m/infer -d "
        '\'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]}]}\''
    )
    assert example_curl("m", signature(TensorSpec("x", DType.FP32, (-1, 900))), "http://x") is None
