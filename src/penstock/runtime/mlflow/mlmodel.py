"""MlModel: what the file ``MLmodel`` says, read without the mlflow library and without code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.mlflow.field import Field, read_fields

PYFUNC = "python_function"
"""The flavor that every other one offers, and that is served."""


class Param(msgspec.Struct, frozen=True):
    """A parameter of a model's signature, which a request may set.

    Attributes:
        name: its name.
        type: ``long``, ``double``, ``string`` and so on.
        is_list: whether its value is a list of them.
    """

    name: str
    type: str
    is_list: bool = False


class MlModel(msgspec.Struct, frozen=True):
    """An MLflow model at rest.

    Attributes:
        folder: where it is.
        flavors: the configuration of each flavor, by name.
        inputs, outputs: the signature; None: it has none.
        params: what a request's parameters may set.
        example: where its input example is and of what kind; None: it has none.
    """

    folder: Path
    flavors: Mapping[str, Mapping[str, Any]]
    inputs: tuple[Field, ...] | None
    outputs: tuple[Field, ...] | None
    params: tuple[Param, ...]
    example: Mapping[str, Any] | None

    @property
    def pyfunc(self) -> Mapping[str, Any]:
        """The configuration of the flavor that is served."""
        return self.flavors[PYFUNC]


def read_mlmodel(artifact: ArtifactRef) -> MlModel:
    """Read the artifact, which is a file ``MLmodel``. Blocks on the disk.

    Raises:
        LoadFailed: it is not there, is no such file, or has no ``python_function`` flavor.
    """
    try:
        content = yaml.safe_load(artifact.path.read_bytes())
        model = _parse(artifact.path.parent, content)
    except FileNotFoundError as err:
        raise LoadFailed(f"{artifact.id}: there is no {artifact.path.name}") from err
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is not as MLflow writes it: "
            f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}"
        ) from err
    if PYFUNC not in model.flavors:
        raise LoadFailed(
            f"{artifact.id}: the model has the flavors {sorted(model.flavors)}; served is "
            f"{PYFUNC}, which every save_model of MLflow's Python library writes"
        )
    return model


def _parse(folder: Path, content: Mapping[str, Any]) -> MlModel:
    signature = content.get("signature") or {}
    inputs, outputs, params = (signature.get(name) for name in ("inputs", "outputs", "params"))
    return MlModel(
        folder=folder,
        flavors={name: dict(conf or {}) for name, conf in content["flavors"].items()},
        inputs=read_fields(json.loads(inputs), "inputs") if inputs else None,
        outputs=read_fields(json.loads(outputs), "predictions") if outputs else None,
        params=tuple(
            Param(p["name"], str(p.get("type") or p.get("dtype")), p.get("shape") is not None)
            for p in (json.loads(params) if params else ())
        ),
        example=content.get("saved_input_example_info"),
    )
