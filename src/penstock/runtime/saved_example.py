"""The example that some artifacts hold of their own inputs, for the warm-up."""

from __future__ import annotations

from penstock.core.errors import InvalidArgument, LoadFailed
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.format import MLFLOW_FILE_NAME


def saved_example(artifact: ArtifactRef, signature: ModelSignature) -> tuple[Tensor, ...] | None:
    """The inputs that were saved with the model; None: there are none that fit it.

    Reads data only: no framework is imported and no code is run. Blocks on the disk.
    """
    if artifact.path.name != MLFLOW_FILE_NAME:
        return None
    from penstock.runtime.mlflow.example import read_example
    from penstock.runtime.mlflow.mlmodel import read_mlmodel

    try:
        example = read_example(read_mlmodel(artifact))
        if example is not None:
            signature.check(artifact.id.name, example)
    except (LoadFailed, InvalidArgument):
        return None
    return example
