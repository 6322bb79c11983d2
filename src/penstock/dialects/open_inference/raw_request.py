"""A request that is nothing but one tensor: the raw binary request of the binary extension."""

from __future__ import annotations

import math

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.dialects.open_inference.limits import DecodeLimits
from penstock.dialects.open_inference.raw_data import from_raw
from penstock.dialects.open_inference.tensor_checks import check_shape


def decode(
    body: bytes | memoryview, model: str, signature: ModelSignature, limits: DecodeLimits
) -> Tensor:
    """View the whole body as the only input of a model.

    Where the model batches, the batch is 1. One further free dimension follows from the size of
    the body. A BYTES input takes one element, which is the body itself, without a length.

    Args:
        body: the raw elements, little-endian, row-major.
        model: the model's name, for messages.
        signature: what the model takes.
        limits: bounds of the shape.

    Raises:
        InvalidArgument: the model has more than one input, or the body does not tell its shape.

    Source: Triton, "Binary Tensor Data Extension", "Raw Binary Request".
    """
    if len(signature.inputs) != 1:
        raise InvalidArgument(
            f"Raw request must only have 1 input to be deduced, but model '{model}' has "
            f"{len(signature.inputs)} inputs"
        )
    spec = signature.inputs[0]
    declared = (1, *spec.shape[1:]) if signature.batched else spec.shape
    if spec.dtype is DType.BYTES:
        return _decode_text(body, model, spec, declared)
    shape = _fill(model, spec, declared, len(body))
    check_shape(spec.name, shape, limits)
    return from_raw(model, spec.name, spec.dtype, shape, body)


def _decode_text(
    body: bytes | memoryview, model: str, spec: TensorSpec, declared: tuple[int, ...]
) -> Tensor:
    shape = tuple(1 if dim == -1 else dim for dim in declared)
    if math.prod(shape) != 1:
        raise InvalidArgument(
            f"For BYTES datatype raw input '{spec.name}', the model '{model}' must have input "
            f"shape [1], got {list(declared)}"
        )
    return Tensor(spec.name, spec.dtype, object_array([bytes(body)]).reshape(shape))


def _fill(
    model: str, spec: TensorSpec, declared: tuple[int, ...], num_bytes: int
) -> tuple[int, ...]:
    free = declared.count(-1)
    if free == 0:
        return declared
    known = math.prod(dim for dim in declared if dim != -1) * spec.dtype.itemsize_bytes
    if free > 1 or known == 0 or num_bytes % known:
        raise InvalidArgument(
            f"The shape of the raw input '{spec.name}' can not be deduced for model '{model}': "
            f"its shape is {list(declared)} and the body has {num_bytes} bytes"
        )
    return tuple(num_bytes // known if dim == -1 else dim for dim in declared)
