"""Hypothesis strategies: tensors of every datatype, and requests that may share a batch."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array

dtypes = st.sampled_from(list(DType))
"""Every datatype."""

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
"""Shapes of up to four dimensions, empty ones and scalars among them."""


@st.composite
def tensors(draw: st.DrawFn, name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """A tensor of any bits: every NaN, -0.0, every byte string."""
    count = math.prod(shape)
    if dtype is DType.BYTES:
        items = draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
        return Tensor(name, dtype, object_array(items).reshape(shape))
    num_bytes = count * dtype.itemsize_bytes
    bits = draw(st.binary(min_size=num_bytes, max_size=num_bytes))
    if dtype is DType.BOOL:
        bits = bytes(byte & 1 for byte in bits)
    return Tensor.from_buffer(name, dtype, shape, bits)


any_tensors = st.tuples(dtypes, shapes).flatmap(lambda form: tensors("x", *form))
"""A tensor named ``x`` of any datatype and shape."""


@st.composite
def echo_signatures(draw: st.DrawFn, *, free_axis: bool = False) -> ModelSignature:
    """A batched model whose outputs are its inputs: one to three tensors.

    With ``free_axis``, axis 1 of the first tensor, and perhaps of others, varies in size.
    """
    specs = []
    for index in range(draw(st.integers(1, 3))):
        dims = draw(st.lists(st.integers(1, 3), max_size=2))
        if free_axis and (index == 0 or draw(st.booleans())):
            dims = [-1, *dims]
        dtype = draw(dtypes)
        specs.append(
            TensorSpec(
                f"t{index}",
                dtype,
                (-1, *dims),
                ("", *("length" if dim < 0 else "" for dim in dims)),
            )
        )
    return ModelSignature(tuple(specs), tuple(specs))


@st.composite
def requests(
    draw: st.DrawFn, signature: ModelSignature, *, max_rows: int = 3, max_length: int = 5
) -> tuple[Tensor, ...]:
    """One request's tensors: free dimensions beyond the rows share one size."""
    rows = draw(st.integers(1, max_rows))
    length = draw(st.integers(0, max_length))
    return tuple(
        draw(
            tensors(
                spec.name,
                spec.dtype,
                (rows, *(length if dim < 0 else dim for dim in spec.shape[1:])),
            )
        )
        for spec in signature.inputs
    )
