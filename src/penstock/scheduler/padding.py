"""Padding: variable-length inputs brought to one length, and taken off the outputs. Pure."""

from __future__ import annotations

import msgspec
import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.repository.manifest import Pad


class Padding(msgspec.Struct, frozen=True):
    """A manifest's ``pad``, resolved against a signature.

    Attributes:
        axis: the axis that varies, the batch dimension being 0.
        to_multiple_of: the padded length is rounded up to a multiple of this.
        value: what fills; BYTES are filled with "".
        inputs: names of the padded inputs.
        outputs: names of the outputs whose padding is cut off again.
    """

    axis: int
    to_multiple_of: int
    value: float
    inputs: frozenset[str]
    outputs: frozenset[str]

    @classmethod
    def resolve(cls, pad: Pad, signature: ModelSignature) -> Padding:
        """Find which inputs are padded and which outputs follow them.

        An output follows when its axis carries the same dimension name as a padded input's;
        where the artifact names no dimensions, when its axis is free.

        Raises:
            ConfigError: an input named by the manifest does not exist or cannot vary there.
        """
        for name in pad.inputs:
            spec = signature.input(name)
            if spec is None or not _is_free(spec, pad.axis):
                raise ConfigError(
                    f"batching.pad: input '{name}' cannot be padded along axis {pad.axis}; "
                    f"inputs that can: {_free_names(signature, pad.axis)}"
                )
        inputs = [
            spec
            for spec in signature.inputs
            if (spec.name in pad.inputs or not pad.inputs) and _is_free(spec, pad.axis)
        ]
        if not inputs:
            raise ConfigError(f"batching.pad: no input is free along axis {pad.axis}")
        names = {_dim_name(spec, pad.axis) for spec in inputs}
        return cls(
            axis=pad.axis,
            to_multiple_of=pad.to_multiple_of,
            value=pad.value,
            inputs=frozenset(spec.name for spec in inputs),
            outputs=frozenset(
                spec.name
                for spec in signature.outputs
                if _is_free(spec, pad.axis)
                and (names == {""} or _dim_name(spec, pad.axis) in names)
            ),
        )

    def length(self, inputs: tuple[Tensor, ...]) -> int:
        """The longest padded axis among a request's inputs."""
        return max((t.array.shape[self.axis] for t in inputs if t.name in self.inputs), default=-1)

    def stack(self, arrays: list[Array]) -> Array:
        """Lay arrays one below the other, the padded axis filled up to the longest."""
        longest = max(array.shape[self.axis] for array in arrays)
        target = -(-longest // self.to_multiple_of) * self.to_multiple_of
        if all(array.shape[self.axis] == target for array in arrays):
            return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        shape = list(arrays[0].shape)
        shape[0] = sum(array.shape[0] for array in arrays)
        shape[self.axis] = target
        fill = b"" if arrays[0].dtype == DType.BYTES.numpy else self.value
        stacked = np.full(shape, fill, dtype=arrays[0].dtype)
        row = 0
        for array in arrays:
            place = [slice(0, dim) for dim in array.shape]
            place[0] = slice(row, row + array.shape[0])
            stacked[tuple(place)] = array
            row += array.shape[0]
        return stacked

    def cut(self, tensor: Tensor, length: int) -> Tensor:
        """Take the padding off one request's output; other outputs are left as they are."""
        if tensor.name not in self.outputs or tensor.array.shape[self.axis] <= length:
            return tensor
        index = [slice(None)] * tensor.array.ndim
        index[self.axis] = slice(0, length)
        return Tensor(tensor.name, tensor.dtype, tensor.array[tuple(index)])


def _is_free(spec: TensorSpec, axis: int) -> bool:
    return len(spec.shape) > axis and spec.shape[axis] == -1


def _dim_name(spec: TensorSpec, axis: int) -> str:
    return spec.dim_names[axis] if spec.dim_names else ""


def _free_names(signature: ModelSignature, axis: int) -> list[str]:
    return [spec.name for spec in signature.inputs if _is_free(spec, axis)]
