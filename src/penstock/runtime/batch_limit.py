"""The most rows an exported model takes at once, held against what its manifest asks for."""

from __future__ import annotations

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef


def check_batch_limit(artifact: ArtifactRef, most_rows: int | None) -> None:
    """See that no batch will be larger than the model can take.

    Args:
        artifact: whose manifest says ``max_batch_size``.
        most_rows: the bound of the model's first dimension; None: it has none.

    Raises:
        LoadFailed: the manifest says more, or nothing, which means the server's default.
    """
    declared = artifact.manifest.max_batch_size
    if most_rows is None or (declared is not None and declared <= most_rows):
        return
    raise LoadFailed(
        f"{artifact.id}: the model was exported for at most {most_rows} rows at once: "
        f"say max_batch_size: {most_rows} in its model.yaml"
    )
