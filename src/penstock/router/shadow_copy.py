"""ShadowCopy: what is kept of a request and its answer until the shadow was asked, too."""

from __future__ import annotations

import mmap
import sys

import msgspec
import numpy as np

from penstock.core.deadline import Deadline
from penstock.core.dtype import DType
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, Parameter
from penstock.core.tensor import Array, Tensor

OVERHEAD_BYTES = 2048
"""What the objects of one copy take besides its tensors, about."""

ELEMENT_BYTES = 40
"""What an element of a BYTES tensor takes besides its payload, about: each is an object of its own,
with a header of 33 bytes and 8 for the array's pointer to it."""

SHADOW_PRIORITY = 2**31 - 1
"""The level of a copy in its version's queue: behind whatever a client may ask for."""

_MAX_SLACK = 2
"""A view keeps the memory it looks at; it is kept as it is where that is at most so many times
its own size. The elements of a BYTES tensor are of any size: there nothing else may be kept."""


class ShadowCopy(msgspec.Struct):
    """One request and the answer that its client got.

    Attributes:
        model: the model's name.
        id: the request's.
        inputs: the request's tensors.
        parameters: the request's, as they reach the model.
        outputs: what the client got, of what may be compared.
        at_ns: when it was taken, monotonic.
        num_bytes: what it holds: its tensors with the memory behind their views and the objects of
            their texts, its id and its parameters.
        is_answered: whether the shadow has given its answer.
    """

    model: str
    id: str
    inputs: tuple[Tensor, ...]
    parameters: dict[str, Parameter]
    outputs: tuple[Tensor, ...]
    at_ns: int
    num_bytes: int
    is_answered: bool = False

    def request(self, version: int, output: str, timeout_s: float) -> InferRequest:
        """The request as the shadow gets it: its version named, last of all, by its own deadline.

        Args:
            version: the shadow.
            output: the one that is wanted; "": all.
            timeout_s: what the copy is worth, in seconds from when it was taken.
        """
        return InferRequest(
            self.model,
            self.inputs,
            VersionChoice(version=version),
            id=self.id,
            outputs=(output,) if output else None,
            parameters=self.parameters,
            deadline=Deadline.after(timeout_s, self.at_ns),
            priority=SHADOW_PRIORITY,
        )


def take_copy(
    request: InferRequest, outputs: tuple[Tensor, ...], max_bytes: int, now_ns: int
) -> ShadowCopy | None:
    """Keep a request and its answer, without copying the tensors where that holds no more.

    Tensors of a request are views of its own body, or own their memory, and stay valid after the
    answer. An answer may be a view of a whole batch, or of memory shared with a worker process,
    which waits to be used again: such tensors are copied.

    Args:
        request: as the client sent it.
        outputs: what the client gets, of what may be compared.
        max_bytes: the most it may hold.
        now_ns: monotonic time.

    Returns:
        None: it would hold more.
    """
    tensors = (*request.inputs, *outputs)
    rest_bytes = OVERHEAD_BYTES + _told_bytes(request)
    if rest_bytes + sum(map(_own_bytes, tensors)) > max_bytes:
        return None
    inputs = tuple(map(_kept, request.inputs))
    outputs = tuple(map(_kept, outputs))
    num_bytes = rest_bytes + sum(map(_held_bytes, (*inputs, *outputs)))
    if num_bytes > max_bytes:
        return None
    return ShadowCopy(
        request.model, request.id, inputs, request.parameters, outputs, now_ns, num_bytes
    )


def _kept(tensor: Tensor) -> Tensor:
    array = tensor.array
    if array.base is None:
        return tensor
    behind_bytes = _behind_bytes(array)
    slack = 1 if tensor.dtype is DType.BYTES else _MAX_SLACK
    if 0 <= behind_bytes <= slack * array.nbytes:
        return tensor
    return Tensor(tensor.name, tensor.dtype, array.copy())


def _told_bytes(request: InferRequest) -> int:
    """What the id and the parameters take, in bytes; what is empty or 0 is shared by all."""
    told = request.parameters
    return sum(map(sys.getsizeof, filter(None, (request.id, told, *told, *told.values()))))


def _own_bytes(tensor: Tensor) -> int:
    """What the elements take, in bytes."""
    if tensor.dtype is DType.BYTES:
        return tensor.num_bytes + ELEMENT_BYTES * tensor.array.size
    return tensor.num_bytes


def _held_bytes(tensor: Tensor) -> int:
    if tensor.dtype is DType.BYTES:
        return _own_bytes(tensor)
    return max(tensor.array.nbytes, _behind_bytes(tensor.array))


def _behind_bytes(array: Array) -> int:
    """The size of the memory that an array keeps, in bytes; -1: it is not this process' own."""
    owner: object = array
    num_bytes = array.nbytes
    while owner is not None:
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif isinstance(owner, np.ndarray):
            num_bytes, owner = owner.nbytes, owner.base
        elif isinstance(owner, bytes | bytearray):
            return len(owner)
        else:
            return -1 if isinstance(owner, mmap.mmap) else num_bytes
    return num_bytes
