"""Signed only: nothing is served that is not in a package, and nothing unsigned says what runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef, BadArtifact
from penstock.repository.model_look import ModelLook, VersionLook

_MAY_SAY: Final = frozenset(
    {
        *("description", "max_batch_size", "batching", "queue", "version_policy", "labels"),
        *("response_cache", "keep_loaded"),
    }
)
_MAY_SAY_OF_INSTANCES: Final = frozenset(
    {
        *("count", "kind", "threads_per_instance", "device", "inline"),
        *("idempotent", "max_memory", "cpus", "kill_after_s"),
    }
)


def only_signed(look: ModelLook) -> ModelLook:
    """The model without its versions that are no package; each is an error of that version.

    That a package is signed is checked where it is read.
    """
    versions = tuple(map(_signed_version, look.versions))
    return msgspec.structs.replace(look, versions=versions)


def check_laid_over(fields: Mapping[str, Any], source: str) -> None:
    """See that a ``model.yaml`` beside a signed package says nothing of what the package runs.

    Args:
        fields: the file's, as they are written.
        source: its name for messages.

    Raises:
        LoadFailed: it says something that only the package may say.
    """
    instances = fields.get("instances")
    inner = instances if isinstance(instances, dict) else {}
    wrong = [name for name in fields if name != "instances" and name not in _MAY_SAY]
    wrong += [f"instances.{name}" for name in inner if name not in _MAY_SAY_OF_INSTANCES]
    if wrong:
        raise LoadFailed(
            f"{source}: '{wrong[0]}': packages.require_signed is on, and this file is not signed: "
            "say it in the package's own model.yaml and sign that"
        )


def _signed_version(look: VersionLook) -> VersionLook:
    found = look.found
    if isinstance(found, BadArtifact) or found.package is not None:
        return look
    return VersionLook(BadArtifact(found.id, found.revision, _refusal(found)), look.newest_ns)


def _refusal(found: ArtifactRef) -> LoadFailed:
    what = f"the file {found.path}" if found.is_single_file else f"the folder {found.root}"
    return LoadFailed(
        f"{found.id}: {what} is no signed package, and packages.require_signed accepts nothing "
        "else: pack it with 'penstock pack DIR --sign-key KEY' and serve the package"
    )
