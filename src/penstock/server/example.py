"""A request that works, made from a signature: for OpenAPI and for the ``curl`` line."""

from __future__ import annotations

import json
import math
from typing import Any

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec

_WITHOUT_JSON = (DType.FP16, DType.BF16)
_FREE_DIM = 1
_MAX_CURL_CHARS = 1000
_MAX_ELEMENTS = 100_000


def example_request(signature: ModelSignature) -> dict[str, Any] | None:
    """A V2 JSON request of one row of zeros.

    Returns:
        the request; None where an input has no JSON form or is too large to show.
    """
    required = [spec for spec in signature.inputs if not spec.optional] or [signature.inputs[0]]
    if any(s.dtype in _WITHOUT_JSON or _size(s) > _MAX_ELEMENTS for s in required):
        return None
    return {"inputs": [_example_input(spec) for spec in required]}


def example_curl(name: str, signature: ModelSignature, base: str) -> str | None:
    """A ``curl`` line that works; None where the example would be too long to read.

    Args:
        name: the model's name.
        signature: what it takes.
        base: the server's address, such as ``http://127.0.0.1:8080``.
    """
    request = example_request(signature)
    if request is None:
        return None
    body = json.dumps(request, separators=(",", ":"))
    if len(body) > _MAX_CURL_CHARS:
        return None
    return f"curl -s {base}/v2/models/{name}/infer -d '{body}'"


def _example_input(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "datatype": str(spec.dtype),
        "shape": _shape(spec),
        "data": [_zero(spec.dtype)] * _size(spec),
    }


def _shape(spec: TensorSpec) -> list[int]:
    return [_FREE_DIM if dim < 0 else dim for dim in spec.shape]


def _size(spec: TensorSpec) -> int:
    return math.prod(_shape(spec))


def _zero(dtype: DType) -> Any:
    if dtype is DType.BYTES:
        return "text"
    if dtype is DType.BOOL:
        return False
    return 0 if dtype.is_integer else 0.0
