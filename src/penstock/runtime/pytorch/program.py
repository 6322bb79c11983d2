"""Programs of ``torch.export``: checked before they are loaded, and their signature."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from penstock.core.errors import LoadFailed, may_pass
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import TensorField
from penstock.runtime.batch_limit import check_batch_limit
from penstock.runtime.first_line import first_line
from penstock.runtime.pytorch.tensors import DTYPES

_PICKLE_ENDING = ".pt"
_LEAST = 2  # what PyTorch says of a free dimension, where 0 and 1 work too


class TorchProgram:
    """An exported program that is called by the names of its inputs."""

    def __init__(self, artifact: ArtifactRef) -> None:
        """Load it.

        Raises:
            LoadFailed: it is damaged, holds pickled objects, or takes or gives what is no tensor.
        """
        _refuse_objects(artifact)
        try:
            self._program: Any = torch.export.load(artifact.path)
        except Exception as err:
            raise LoadFailed(
                f"{artifact.id}: {artifact.path.name} is no program PyTorch {torch.__version__} "
                f"can load: {first_line(err)}; export and save it again with this version",
                retryable=may_pass(err),
            ) from err
        self.signature = _signature(artifact, self._program)

    def module(self, device: torch.device) -> Any:
        """What computes it, called with the arguments it was exported with."""
        program = self._program
        if device.type != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        module = program.module(check_guards=False)  # they are code in the file
        # names, datatypes and ranks are checked by the signature, which knows no bounds
        module.validate_inputs = any(map(_is_bounded, program.range_constraints.values()))
        return module

    def by_name(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """The module, called with one tensor for each input, by name."""
        names = [spec.name for spec in self.signature.inputs]
        structure = self._program.call_spec.in_spec

        def call(**tensors: torch.Tensor) -> Any:
            args, kwargs = pytree.tree_unflatten([tensors[name] for name in names], structure)
            return module(*args, **kwargs)

        return call


def _refuse_objects(artifact: ArtifactRef) -> None:
    """Refuse pickles that make more than tensors: ``torch.export.load`` would run them."""
    try:
        with zipfile.ZipFile(artifact.path) as archive:
            for name in archive.namelist():
                if name.endswith(_PICKLE_ENDING):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                elif name.endswith("_config.json") and _names_pickles(archive.read(name)):
                    raise ValueError(f"{name} names pickled objects")
    except Exception as err:
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is refused: it holds a pickle of more than "
            "tensors, which can run any code, or is damaged; nothing was run. Export a model of "
            f"plain tensors, with plain tensors as example inputs ({first_line(err)})",
            retryable=may_pass(err),
        ) from err


def _names_pickles(config: bytes) -> bool:
    return any(entry["use_pickle"] for entry in json.loads(config)["config"].values())


def _signature(artifact: ArtifactRef, program: Any) -> ModelSignature:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    declared = artifact.manifest.signature
    signature = program.graph_signature
    given = [_value(artifact, name, values) for name in signature.user_inputs]
    answered = [_value(artifact, name, values) for name in signature.user_outputs]
    in_names = [str(name) for name in signature.user_inputs]
    out_names = _output_names(artifact, program, declared.outputs)
    inputs = tuple(map(_spec, in_names, given))
    outputs = tuple(map(_spec, out_names, answered))
    rows = [value.shape[0] if value.ndim else None for value in (*given, *answered)]
    is_free = all(isinstance(count, torch.SymInt) for count in rows)
    is_batched = is_free and len({str(count) for count in rows}) == 1  # rows out as rows in
    if is_batched:
        _check_range(artifact, program, rows[0])
    elif artifact.manifest.max_batch_size:
        raise _fixed_batch(artifact, inputs[0])
    return ModelSignature(inputs, outputs, batched=is_batched)


def _value(artifact: ArtifactRef, name: object, values: dict[str, Any]) -> torch.Tensor:
    value = values.get(name) if isinstance(name, str) else name
    if not isinstance(value, torch.Tensor) or value.dtype not in DTYPES:
        raise LoadFailed(
            f"{artifact.id}: the program takes or gives '{name}', which is no tensor of a known "
            "datatype: export it with tensors alone, such as torch.export.export(model, (x,))"
        )
    return value


def _output_names(
    artifact: ArtifactRef, program: Any, declared: Sequence[TensorField]
) -> Sequence[str]:
    """A dict's keys; else the manifest's names in their order; else ``output``, ``output_0``..."""
    structure = program.call_spec.out_spec
    count = structure.num_leaves
    if structure.type is dict and structure.num_children == count:
        return [str(key) for key in structure.context]
    if declared and len(declared) != count:
        raise LoadFailed(
            f"{artifact.id}: the program has {count} outputs, signature.outputs names "
            f"{[field.name for field in declared]}"
        )
    if declared:
        return [field.name for field in declared]
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _spec(name: str, value: torch.Tensor) -> TensorSpec:
    dims = [dim if isinstance(dim, int) else -1 for dim in value.shape]
    names = [str(dim) if isinstance(dim, torch.SymInt) else "" for dim in value.shape]
    fixed = "" if not dims or dims[0] == -1 else f"exported for exactly {dims[0]} rows"
    return TensorSpec(name, DTYPES[value.dtype], tuple(dims), tuple(names), description=fixed)


def _is_bounded(bounds: Any) -> bool:
    return bool(bounds.upper.is_Integer or bounds.lower > _LEAST)


def _check_range(artifact: ArtifactRef, program: Any, rows: Any) -> None:
    bounds = program.range_constraints.get(rows.node.expr)
    if bounds is None:
        return
    if bounds.lower > _LEAST:
        raise LoadFailed(
            f"{artifact.id}: the program was exported for at least {bounds.lower} rows, but a "
            "request may have one: export it with torch.export.Dim('batch')"
        )
    check_batch_limit(artifact, int(bounds.upper) if bounds.upper.is_Integer else None)


def _fixed_batch(artifact: ArtifactRef, spec: TensorSpec) -> LoadFailed:
    return LoadFailed(
        f"{artifact.id}: max_batch_size is {artifact.manifest.max_batch_size}, but the program was "
        f"exported for exactly {spec.shape[0] if spec.shape else 0} rows: export it with "
        f"dynamic_shapes={{'{spec.name}': {{0: torch.export.Dim('batch')}}}}, or say "
        "max_batch_size: 0 and send as many rows as that"
    )
