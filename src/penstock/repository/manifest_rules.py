"""What one field of a manifest demands of another, and what no type can say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.repository.format import RUNTIMES, split_class
from penstock.repository.manifest import (
    PROCESS_FIELDS,
    Instances,
    Manifest,
    TensorField,
    VersionPolicyFields,
)
from penstock.repository.manifest_shape import nearest

_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)


def check_rules(manifest: Manifest, source: str) -> None:
    """Check what types and ranges cannot.

    Raises:
        ConfigError: the first broken rule, as ``source: $.path: why``.
    """
    for path, text in _broken(manifest):
        raise ConfigError(f"{source}: {path}: {text}")


def _broken(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Path and text of each broken rule."""
    if manifest.runtime is not None and manifest.runtime not in RUNTIMES:
        yield (
            "$.runtime",
            f"unknown runtime {manifest.runtime!r}, {nearest(manifest.runtime, RUNTIMES)}",
        )
    if manifest.entry is not None and not _is_inside(split_class(manifest.entry)[0]):
        yield "$.entry", f"expected a path inside the version's folder, got {manifest.entry!r}"
    if not _DEVICE.fullmatch(manifest.instances.device):
        yield (
            "$.instances.device",
            f"expected cpu, cuda or cuda:N, got {manifest.instances.device!r}",
        )
    yield from _processes(manifest.instances)
    yield from _stages(manifest)
    yield from _batch_sizes(manifest)
    yield from _versions(manifest)
    yield from _labels(manifest)
    yield from _warmup(manifest)
    yield from _tensors(manifest.signature.inputs, "$.signature.inputs")
    yield from _tensors(manifest.signature.outputs, "$.signature.outputs")


def _is_inside(path: str) -> bool:
    """Whether a relative path stays in its folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def _processes(instances: Instances) -> Iterator[tuple[str, str]]:
    if instances.kind == "process":
        return
    plain = Instances()
    for name in PROCESS_FIELDS:
        if getattr(instances, name) != getattr(plain, name):
            yield f"$.instances.{name}", "only a copy in a process has it: say 'kind: process' too"


def _stages(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if not manifest.stages.counts:
        return
    if manifest.runtime not in (None, "python"):
        yield "$.stages", f"only Python models have stages, and the runtime is {manifest.runtime}"
    if manifest.instances.kind != "thread":
        yield (
            "$.stages",
            "only copies on threads have stages apart: leave it out, or say 'kind: thread' in "
            f"'instances', where it is {manifest.instances.kind}",
        )


def _batch_sizes(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for position, size in enumerate(manifest.batching.preferred_batch_sizes):
        if manifest.max_batch_size is not None and size > manifest.max_batch_size:
            yield (
                f"$.batching.preferred_batch_sizes[{position}]",
                f"{size} is more than max_batch_size, which is {manifest.max_batch_size}",
            )


def _versions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    policy = manifest.version_policy
    if not isinstance(policy, VersionPolicyFields):
        return
    if (policy.latest is None) == (policy.specific is None):
        got = "neither" if policy.latest is None else "both"
        yield "$.version_policy", f"expected exactly one of 'latest' and 'specific', got {got}"
    if policy.specific is not None and not policy.specific:
        yield "$.version_policy.specific", "expected at least one version, got an empty list"


def _labels(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for label in manifest.labels:
        if label.isdecimal():
            yield f"$.labels.{label}", "a label must not be a number: it would hide that version"
        elif "/" in label or not label.isprintable() or label != label.strip():
            yield "$.labels", f"a label must be one printable word without '/', got {label!r}"


def _warmup(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for position, warmup in enumerate(manifest.warmup or ()):
        if not _is_inside(warmup.file):
            yield (
                f"$.warmup[{position}].file",
                f"expected a path inside the model's folder, got {warmup.file!r}",
            )


def _tensors(tensors: tuple[TensorField, ...], path: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for position, tensor in enumerate(tensors):
        here = f"{path}[{position}]"
        if tensor.datatype not in DType.__members__:
            known = nearest(tensor.datatype, DType.__members__)
            yield f"{here}.datatype", f"unknown datatype {tensor.datatype!r}, {known}"
        if tensor.name in seen:
            yield f"{here}.name", f"duplicate name {tensor.name!r}"
        if tensor.labels and tensor.shape and tensor.shape[-1] not in (-1, len(tensor.labels)):
            count = len(tensor.labels)
            yield f"{here}.labels", f"{count} labels for a last dimension of {tensor.shape[-1]}"
        seen.add(tensor.name)
