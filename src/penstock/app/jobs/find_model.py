"""find_model: where a job's model is, by the rules of ``penstock serve``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from penstock.app.jobs.named_path import named_path
from penstock.app.model_source import ModelSource, model_source
from penstock.app.settings import Settings
from penstock.core.clock import Clock
from penstock.core.errors import ConfigError
from penstock.core.ids import VersionChoice
from penstock.jobs.model_ref import ModelRef
from penstock.lifecycle.version_policy import choose_versions
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest_shape import nearest


class Found(NamedTuple):
    """A version of a model.

    Attributes:
        artifact: the version.
        source: what brought it; its files stay as long as this is kept.
    """

    artifact: ArtifactRef
    source: ModelSource


def find_model(ref: ModelRef, settings: Settings, clock: Clock) -> Found:
    """Look at what is stored, and choose. Blocks on the disk, and on the network for a URL.

    Args:
        ref: with a ``path``.
        settings: how packages and downloads are taken in.
        clock: the time.

    Raises:
        ConfigError: there is no such path, model, version or label; names what there is.
        LoadFailed: the version is there and cannot be loaded, or a store was not reached.
    """
    path = ref.path or ""
    source = model_source([path], settings, settings.packages.intake(), clock)
    with named_path(path):
        stored = source.scan()
    model = _model(stored, ref)
    if model.error is not None and not model.versions:
        raise model.error
    number = _version(model, ref)
    version = next(one for one in model.versions if one.id.version == number)
    if not isinstance(version, ArtifactRef):
        raise version.error
    return Found(_with_batches(version, ref.max_batch_size), source)


def _model(stored: Sequence[StoredModel], ref: ModelRef) -> StoredModel:
    names = [model.name for model in stored]
    if not names:
        raise ConfigError(f"{ref.path}: no model is there")
    if not ref.name and len(names) > 1:
        raise ConfigError(
            f"{ref.path}: holds several models: say 'name', one of {', '.join(names)}"
        )
    for model in stored:
        if ref.name in ("", model.name):
            return model
    raise ConfigError(f"{ref.path}: no model '{ref.name}' is there; {nearest(ref.name, names)}")


def _version(model: StoredModel, ref: ModelRef) -> int:
    """The number of the version that is meant.

    Raises:
        ConfigError: there is none.
    """
    there = [version.id.version for version in model.versions]
    choice = VersionChoice.parse(str(ref.version))
    told = f"{ref.path}: model '{model.name}'"
    if choice.label is not None:
        labels = model.manifest.labels
        if choice.label not in labels:
            known = f"; {nearest(choice.label, labels)}" if labels else " (its model.yaml has none)"
            raise ConfigError(f"{told}: no version has the label '{choice.label}'{known}")
        choice = VersionChoice(version=labels[choice.label])
    if choice.version is not None:
        if choice.version not in there:
            raise ConfigError(f"{told}: no version {choice.version} is there, but {_list(there)}")
        return choice.version
    chosen = choose_versions(model.manifest.version_policy, there)
    if not chosen:
        raise ConfigError(
            f"{told}: its version_policy chooses none of its versions, {_list(there)}"
        )
    return chosen[-1]


def _with_batches(version: ArtifactRef, max_batch_size: int | None) -> ArtifactRef:
    """The version with a job's limit in place of its own.

    Raises:
        ConfigError: it takes no batches at all.
    """
    if max_batch_size is None:
        return version
    if version.manifest.max_batch_size == 0:
        raise ConfigError(
            f"model.max_batch_size: {version.id} takes no batches (max_batch_size: 0 in its "
            "model.yaml): leave it out"
        )
    manifest = msgspec.structs.replace(version.manifest, max_batch_size=max_batch_size)
    return msgspec.structs.replace(version, manifest=manifest)


def _list(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions)) or "none"
