"""The signature of a module that has none of its own: TorchScript, or a class.

The manifest says the inputs. The outputs are the manifest's too, or what a try with zeros gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.declared import spec_of
from penstock.runtime.first_line import first_line
from penstock.runtime.pytorch.tensors import from_torch

_TRY_SIZES = (2, 3)


class ForwardNames(NamedTuple):
    """What ``forward`` can be called with.

    Attributes:
        required: inputs without a default, in order.
        optional: the others.
        takes_any: whether it takes names it does not list (``**kwargs``).
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    takes_any: bool = False


def names_of_script(module: Any) -> ForwardNames:
    """The inputs of TorchScript's ``forward``, from its schema."""
    arguments = module.forward.schema.arguments[1:]  # the first is the module
    return ForwardNames(
        tuple(a.name for a in arguments if not a.has_default_value()),
        tuple(a.name for a in arguments if a.has_default_value()),
    )


def names_of_class(module: torch.nn.Module) -> ForwardNames:
    """The inputs of a Python ``forward``."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return ForwardNames(
        tuple(p.name for p in named if p.default is p.empty),
        tuple(p.name for p in named if p.default is not p.empty),
        any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def declared_inputs(
    artifact: ArtifactRef, names: ForwardNames, first_weight: tuple[int, ...]
) -> tuple[TensorSpec, ...]:
    """The inputs as the manifest declares them.

    Args:
        artifact: the model.
        names: what its ``forward`` takes.
        first_weight: the shape of its first parameter, for the advice; ``()``: it has none.

    Raises:
        LoadFailed: none are declared, or others than ``forward`` takes; holds a signature to paste.
    """
    specs = tuple(spec_of(field) for field in artifact.manifest.signature.inputs)
    texts = [spec.name for spec in specs if spec.dtype is DType.BYTES]
    if texts:
        raise LoadFailed(f"{artifact.id}: input '{texts[0]}' is BYTES, and PyTorch has no text")
    declared = {spec.name for spec in specs}
    always_there = {spec.name for spec in specs if not spec.optional}
    is_known = names.takes_any or declared <= {*names.required, *names.optional}
    if specs and is_known and set(names.required) <= always_there:
        return specs
    raise LoadFailed(
        f"{artifact.id}: {artifact.path.name} says no datatypes and shapes, so the manifest must: "
        f"signature.inputs names {sorted(declared) or 'none'}, forward takes "
        f"{[*names.required, *names.optional]}. Put this into model.yaml and mend datatypes and "
        f"shapes (-1: any size): {_to_paste(names.required, first_weight)}"
    )


def _to_paste(names: Sequence[str], first_weight: tuple[int, ...]) -> str:
    dims = ", ".join(map(str, suggest_shape(first_weight)))
    inputs = ", ".join(f"{{name: {name}, datatype: FP32, shape: [{dims}]}}" for name in names)
    return f"signature: {{inputs: [{inputs}]}}"


def suggest_shape(first_weight: tuple[int, ...]) -> tuple[int, ...]:
    """What a layer with such a weight (out, in, kernel...) takes, rows first."""
    if len(first_weight) < 2:
        return (-1, -1)
    return (-1, first_weight[1], *(-1 for _ in first_weight[2:]))


def tried_outputs(
    artifact: ArtifactRef,
    inputs: Sequence[TensorSpec],
    call: Callable[[Sequence[Tensor]], Mapping[str, torch.Tensor]],
) -> tuple[TensorSpec, ...]:
    """What the module answers to zeros; a dimension that varies with the inputs' free ones is free.

    Raises:
        LoadFailed: it raised, or answered with what is no tensor; says to declare the outputs.
    """
    try:
        tries = [
            [from_torch(name, value) for name, value in call(zeros(inputs, size)).items()]
            for size in _TRY_SIZES
        ]
        return tuple(map(_free_where_they_differ, *tries))
    except Exception as err:
        raise LoadFailed(
            f"{artifact.id}: a try with zeros raised {type(err).__name__}: "
            f"{first_line(err)}; mend "
            "signature.inputs, or declare signature.outputs, too"
        ) from err


def _free_where_they_differ(one: Tensor, other: Tensor) -> TensorSpec:
    shape = tuple(a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True))
    return TensorSpec(one.name, one.dtype, shape)


def zeros(specs: Sequence[TensorSpec], size: int) -> list[Tensor]:
    """Zeros for each input that must be there, ``size`` in each free dimension."""
    return [
        Tensor(
            spec.name,
            spec.dtype,
            np.zeros([size if dim < 0 else dim for dim in spec.shape], spec.dtype.numpy),
        )
        for spec in specs
        if not spec.optional
    ]


def is_batched(signature: ModelSignature) -> bool:
    """Whether the first dimension of every tensor is free."""
    return all(spec.shape[:1] == (-1,) for spec in (*signature.inputs, *signature.outputs))
