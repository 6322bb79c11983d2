"""Runtime: one framework's adapter. The registry finds it by name and imports it then."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.model import ModelClient
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable


class Runtime(Protocol):
    """Loads artifacts of one framework."""

    platform: str
    """The protocol's name for framework and format, such as ``onnxruntime_onnx``."""

    def load(self, artifact: ArtifactRef, client: ModelClient) -> Executable:
        """Bring one copy into memory.

        Args:
            artifact: what to load; its manifest's ``instances`` and ``runtime_options`` hold.
            client: how the model may call other models.

        Raises:
            LoadFailed: the artifact is corrupt, its framework or device is missing, or an option
                is wrong; the message says what to do.

        Concurrency: blocks; called off the event loop's thread.
        """
        ...


@dataclass(frozen=True, slots=True)
class RuntimeEntry:
    """Where a runtime lives and what it needs.

    Attributes:
        module, class_name: imported when the first model asks for it.
        requires: the package it imports; None: nothing beyond the base install.
        further: other packages it imports, which the same command brings.
        install: the command that brings it.
    """

    module: str
    class_name: str
    requires: str | None = None
    further: tuple[str, ...] = ()
    install: str = ""


RUNTIMES: Mapping[str, RuntimeEntry] = {
    "onnx": RuntimeEntry(
        "penstock.runtime.onnx_runtime",
        "OnnxRuntime",
        requires="onnxruntime",
        install="pip install 'penstock[onnx]'",
    ),
    "python": RuntimeEntry("penstock.runtime.python_runtime", "PythonRuntime"),
    "huggingface": RuntimeEntry(
        "penstock.runtime.huggingface_runtime",
        "HuggingFaceRuntime",
        requires="transformers",
        further=("torch", "huggingface_hub"),
        install="pip install 'penstock[huggingface]'",
    ),
    "torch": RuntimeEntry(
        "penstock.runtime.torch_runtime",
        "TorchRuntime",
        requires="torch",
        install="pip install 'penstock[torch]'",
    ),
    "openvino": RuntimeEntry(
        "penstock.runtime.openvino_runtime",
        "OpenVinoRuntime",
        requires="openvino",
        install="pip install 'penstock[openvino]'",
    ),
    "sklearn": RuntimeEntry(
        "penstock.runtime.sklearn_runtime",
        "SklearnRuntime",
        requires="sklearn",
        further=("joblib",),
        install="pip install 'penstock[sklearn]'",
    ),
    "xgboost": RuntimeEntry(
        "penstock.runtime.xgboost_runtime",
        "XgboostRuntime",
        requires="xgboost",
        install="pip install 'penstock[xgboost]'",
    ),
    "lightgbm": RuntimeEntry(
        "penstock.runtime.lightgbm_runtime",
        "LightgbmRuntime",
        requires="lightgbm",
        install="pip install 'penstock[lightgbm]'",
    ),
    "catboost": RuntimeEntry(
        "penstock.runtime.catboost_runtime",
        "CatboostRuntime",
        requires="catboost",
        install="pip install 'penstock[catboost]'",
    ),
    "tensorflow": RuntimeEntry(
        "penstock.runtime.tensorflow_runtime",
        "TensorflowRuntime",
        requires="tensorflow",
        further=("keras",),
        install="pip install 'penstock[tensorflow]'",
    ),
    "mlflow": RuntimeEntry(
        "penstock.runtime.mlflow_runtime",
        "MlflowRuntime",
        requires="mlflow",
        further=("pandas",),
        install="pip install 'penstock[mlflow]'",
    ),
}
"""Every runtime by the name a manifest uses."""


def find_runtime(name: str) -> Runtime:
    """Import the runtime of this name.

    Raises:
        ConfigError: there is no runtime of this name.
        LoadFailed: its framework is not installed; the message holds the command that does it.
    """
    entry = RUNTIMES.get(name)
    if entry is None:
        raise ConfigError(f"no runtime '{name}'; there are {sorted(RUNTIMES)}")
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as err:
        if err.name is None or err.name not in (entry.requires, *entry.further):
            raise
        raise LoadFailed(missing_package(name, err.name)) from err
    return cast(Runtime, getattr(module, entry.class_name)())


def missing_package(runtime: str, package: str) -> str:
    """What to say where a runtime lacks a package: which, and the command that brings it."""
    return f"runtime '{runtime}' needs the package '{package}': {RUNTIMES[runtime].install}"
