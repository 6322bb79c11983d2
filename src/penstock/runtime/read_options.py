"""Read a manifest's ``runtime_options`` as the options of its runtime."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef

Options = TypeVar("Options", bound=msgspec.Struct)


def read_options(artifact: ArtifactRef, kind: type[Options]) -> Options:
    """The options as a value of ``kind``.

    Raises:
        LoadFailed: a field is unknown, or its value of another type; names both.
    """
    try:
        return msgspec.convert(artifact.manifest.runtime_options, kind)
    except msgspec.ValidationError as err:
        raise wrong_option(artifact, str(err)) from err


def wrong_option(artifact: ArtifactRef, text: str) -> LoadFailed:
    """The error that says which model's options are wrong, and how."""
    return LoadFailed(f"{artifact.id}: runtime_options of '{artifact.runtime}': {text}")
