"""The signature a manifest declares, laid over the one the artifact holds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.repository.manifest import Manifest, TensorField


def spec_of(field: TensorField) -> TensorSpec:
    """A manifest's field as a declaration.

    Raises:
        ConfigError: the datatype is none of the protocol's.
    """
    try:
        dtype = DType(field.datatype)
    except ValueError as err:
        raise ConfigError(
            f"signature: '{field.name}' has the datatype '{field.datatype}', "
            f"expected one of {[str(d) for d in DType]}"
        ) from err
    return TensorSpec(
        field.name,
        dtype,
        field.shape,
        optional=field.optional,
        labels=field.labels,
        description=field.description,
    )


def declare(signature: ModelSignature, manifest: Manifest) -> ModelSignature:
    """The artifact's signature with what the manifest says of it.

    A declared tensor keeps the artifact's datatype and dimension names and takes the manifest's
    shape, optionality, labels and description. ``max_batch_size: 0`` makes the model unbatched.

    Raises:
        ConfigError: the manifest declares a tensor the artifact does not have, gives it another
            datatype or rank, or asks for batches where the artifact has no free first dimension.
    """
    fields = manifest.signature
    batched = signature.batched
    if manifest.max_batch_size is not None:
        if manifest.max_batch_size > 0 and not batched:
            raise ConfigError(
                f"max_batch_size is {manifest.max_batch_size}, but a tensor's first dimension is "
                "fixed: export the model with a free batch dimension, or say max_batch_size: 0"
            )
        batched = manifest.max_batch_size > 0
    return ModelSignature(
        _overlay(signature.inputs, fields.inputs),
        _overlay(signature.outputs, fields.outputs),
        batched=batched,
    )


def _overlay(
    specs: tuple[TensorSpec, ...], fields: Sequence[TensorField]
) -> tuple[TensorSpec, ...]:
    declared = {field.name: spec_of(field) for field in fields}
    unknown = sorted(set(declared) - {spec.name for spec in specs})
    if unknown:
        raise ConfigError(
            f"signature declares {unknown}, but the model has {[spec.name for spec in specs]}"
        )
    return tuple(_merge(spec, declared.get(spec.name)) for spec in specs)


def _merge(spec: TensorSpec, declared: TensorSpec | None) -> TensorSpec:
    if declared is None:
        return spec
    if declared.dtype is not spec.dtype or len(declared.shape) != len(spec.shape):
        raise ConfigError(
            f"signature: '{spec.name}' is {spec.dtype} of shape {list(spec.shape)} in the model, "
            f"got {declared.dtype} {list(declared.shape)}"
        )
    return msgspec.structs.replace(declared, dim_names=spec.dim_names)
