"""Requests as clients write them, and their decoding."""

from __future__ import annotations

import json
from typing import Any

from penstock.core.dtype import DType
from penstock.core.ids import LATEST
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.dialects.open_inference.reply import DecodedInfer
from penstock.dialects.open_inference.rest_request import decode_infer

NOW_NS = 5_000_000
SIGNATURE = ModelSignature(
    (TensorSpec("x", DType.FP32, (-1, 4)),), (TensorSpec("y", DType.FP32, (-1, 2)),)
)


def signature(*inputs: TensorSpec, batched: bool = True) -> ModelSignature:
    return ModelSignature(inputs, (), batched)


def tensor(
    data: Any, shape: list[int], datatype: str = "FP32", name: str = "x", **others: Any
) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **others}


def body(*inputs: dict[str, Any], **others: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **others}).encode()


def decode(
    content: bytes, header_length: int | None = None, model: ModelSignature = SIGNATURE
) -> DecodedInfer:
    return decode_infer(
        content,
        model="m",
        choice=LATEST,
        header_length=header_length,
        signature_of=lambda: model,
        now_ns=NOW_NS,
    )


def decode_binary(document: dict[str, Any], *buffers: bytes) -> DecodedInfer:
    text = json.dumps(document).encode()
    return decode(b"".join((text, *buffers)), len(text))
