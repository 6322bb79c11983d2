"""Warm-up: run a copy before it is ready, and measure what an execution takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, MalformedAnswer, NotFound, PenstockError
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.runtime.instance import Instance, Work

_RUNS = 4


def example_inputs(signature: ModelSignature) -> tuple[Tensor, ...]:
    """One row of zeros and empty strings that fits the signature, optional inputs left out."""
    required = [spec for spec in signature.inputs if not spec.optional]
    return tuple(_zeros(spec) for spec in required or signature.inputs[:1])


def warm_up(
    id: ServableId,  # noqa: A002  # the field's name everywhere
    instance: Instance,
    examples: Sequence[tuple[Tensor, ...]],
) -> int:
    """Run each example a few times on the caller's thread.

    A model that refuses an example as invalid has run and is warm. The failure may pass where it
    is that of another model which this one calls and which does not serve yet.

    Returns:
        the shortest execution seen, in nanoseconds.

    Raises:
        LoadFailed: the model raised, or its answer does not fit its signature.
    """
    best_ns = 2**62
    for inputs in examples:
        for _ in range(_RUNS):
            execution = instance.run(Work(inputs, {}))
            if isinstance(execution.result, PenstockError):
                raise _failed(id, execution.result) from execution.result
            best_ns = min(best_ns, execution.ended_ns - execution.started_ns)
    return best_ns


def _failed(id: ServableId, error: PenstockError) -> LoadFailed:  # noqa: A002  # as above
    text = f"{id} failed its warm-up: {error.message.removeprefix(f'{id}: ')}"
    if not isinstance(error, MalformedAnswer):
        text += (
            ". If an example of zeros makes no sense to it, name a better one under 'warmup' in "
            "its model.yaml"
        )
    return LoadFailed(text, retryable=error.retryable or isinstance(error, NotFound))


def _zeros(spec: TensorSpec) -> Tensor:
    shape = tuple(1 if dim < 0 else dim for dim in spec.shape)
    if spec.dtype is DType.BYTES:
        array = np.empty(shape, dtype=object)
        array.fill(b"")
        return Tensor(spec.name, spec.dtype, array)
    return Tensor(spec.name, spec.dtype, np.zeros(shape, spec.dtype.numpy))
