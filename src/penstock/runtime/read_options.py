"""Read a manifest's ``runtime_options`` as the options of its runtime."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest_shape import check_shape

Options = TypeVar("Options", bound=msgspec.Struct)

_PATH: Final = "$.runtime_options"


def read_options(artifact: ArtifactRef, kind: type[Options]) -> Options:
    """The options as a value of ``kind``.

    Raises:
        LoadFailed: a field is unknown (says the nearest), or its value of another type (says
            what was expected and what came); names model, runtime and field.
    """
    options = artifact.manifest.runtime_options
    try:
        check_shape(options, _source(artifact), kind, _PATH)
    except ConfigError as err:
        raise LoadFailed(err.message) from err
    return msgspec.convert(options, kind)


def wrong_option(artifact: ArtifactRef, field: str, text: str) -> LoadFailed:
    """The error of an option that does not go with its model: ``text`` says why."""
    return LoadFailed(f"{_source(artifact)}: {_PATH}.{field}: {text}")


def _source(artifact: ArtifactRef) -> str:
    return f"{artifact.id}: runtime '{artifact.runtime}'"
