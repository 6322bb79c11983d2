"""What a load's error says of model.yaml, where the model can have none."""

from __future__ import annotations

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import MANIFEST_NAME


def advise(artifact: ArtifactRef, error: LoadFailed) -> LoadFailed | None:
    """A load's error that names model.yaml, with how a file that is served alone gets one.

    Returns:
        None: there is nothing to add.
    """
    if not artifact.is_single_file or MANIFEST_NAME not in error.message:
        return None
    return LoadFailed(
        f"{error.message} ('{artifact.path.name}' is served as a single file, which has no "
        f"{MANIFEST_NAME}: put both in a folder and serve the folder)",
        retry_after_s=error.retry_after_s,
        retryable=error.retryable,
        culprit=error.culprit,
    )
