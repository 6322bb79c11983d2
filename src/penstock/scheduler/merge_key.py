"""Which requests may share a batch. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from penstock.core.messages import InferRequest
from penstock.scheduler.padding import Padding


def merge_key(request: InferRequest, padding: Padding | None) -> Hashable:
    """A value that is equal for requests that merge.

    Law: requests of one key bring the same inputs, in the same shapes beyond the rows and the
    padded axis, and the same parameters, values told apart by their type too.
    """
    shapes = []
    for tensor in request.inputs:
        shape = list(tensor.shape[1:])
        if padding is not None and tensor.name in padding.inputs:
            shape[padding.axis - 1] = -1
        shapes.append((tensor.name, *shape))
    return (*sorted(shapes), *sorted((k, repr(v)) for k, v in request.parameters.items()))
