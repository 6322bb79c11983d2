"""The models and data committed under ``models/`` and ``examples/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penstock.core.ids import ServableId
from penstock.core.model import ModelClient
from penstock.core.tensor import Array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Manifest
from penstock.repository.manifest_file import read_manifest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
MODELS = ROOT / "models"


class NoOtherModel:
    """A ModelClient for models that call none."""

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        raise AssertionError(f"called model {model!r}")


def manifest(name: str) -> Manifest:
    return read_manifest(MODELS / name / "model.yaml")[0]


def artifact(name: str, version: int, file: str) -> ArtifactRef:
    root = MODELS / name / str(version)
    runtime = "python" if file.endswith(".py") else "onnx"
    path = root / file
    return ArtifactRef(
        ServableId(name, version),
        path=path,
        root=root,
        runtime=runtime,
        class_name=None,
        manifest=manifest(name),
        num_bytes=path.stat().st_size,
        revision="a",
    )


def example(file: str) -> ArtifactRef:
    path = EXAMPLES / file
    id_ = ServableId(path.stem, 1)
    return ArtifactRef(id_, path, path.parent, "python", None, Manifest(), 1, "a")


def held_out() -> tuple[Array, Array]:
    """Pixels [360, 64] float32 and the digits they show."""
    with np.load(EXAMPLES / "digits" / "held_out.npz") as data:
        return data["pixels"].astype(np.float32), data["labels"]


CLIENT: ModelClient = NoOtherModel()
