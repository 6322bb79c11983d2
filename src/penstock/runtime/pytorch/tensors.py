"""Tensors of ours as PyTorch's, and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from penstock.core.dtype import DType
from penstock.core.errors import MalformedAnswer
from penstock.core.tensor import Tensor

TORCH_DTYPES: Mapping[DType, torch.dtype] = MappingProxyType(
    {
        DType.BOOL: torch.bool,
        DType.UINT8: torch.uint8,
        DType.UINT16: torch.uint16,
        DType.UINT32: torch.uint32,
        DType.UINT64: torch.uint64,
        DType.INT8: torch.int8,
        DType.INT16: torch.int16,
        DType.INT32: torch.int32,
        DType.INT64: torch.int64,
        DType.FP16: torch.float16,
        DType.FP32: torch.float32,
        DType.FP64: torch.float64,
        DType.BF16: torch.bfloat16,
    }
)
"""PyTorch's type of each datatype; it has none for BYTES."""

DTYPES: Mapping[torch.dtype, DType] = MappingProxyType(
    {theirs: ours for ours, theirs in TORCH_DTYPES.items()}
)
"""The datatype of each of PyTorch's types; it has more, such as complex numbers."""


def to_torch(tensor: Tensor) -> torch.Tensor:
    """A copy, in main memory: a model may write into its inputs, which are a client's bytes."""
    array = np.array(tensor.array, order="C")
    if tensor.dtype is DType.BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_torch(name: str, value: Any) -> Tensor:
    """A tensor of ours over the memory of one of PyTorch's, which is in main memory.

    Raises:
        MalformedAnswer: it is no tensor, or of a type that no datatype holds.
    """
    if not isinstance(value, torch.Tensor):
        raise MalformedAnswer(
            f"the model answered output '{name}' as {type(value).__name__}, expected a tensor"
        )
    dtype = DTYPES.get(value.dtype)
    if dtype is None:
        raise MalformedAnswer(
            f"the model answered output '{name}' as {value.dtype}, which no datatype holds"
        )
    bits = value.view(torch.int16).numpy().view(np.uint16) if dtype is DType.BF16 else None
    return Tensor(name, dtype, value.numpy() if bits is None else bits)
