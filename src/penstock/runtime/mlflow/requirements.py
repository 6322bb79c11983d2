"""What an MLflow model was made with, beside what is installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement

_FILE_NAME = "requirements.txt"
_ENVIRONMENT_FILE_NAME = "python_env.yaml"
_OTHER_NAMES: Mapping[str, str] = {
    "mlflow": "mlflow-skinny",
    "tensorflow": "tensorflow-cpu",
    "xgboost": "xgboost-cpu",
}
"""The same package under the name of a smaller build."""

_EXTRAS: Mapping[str, str] = {
    "catboost": "catboost",
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "skops": "sklearn",
    "sklearn": "sklearn",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "transformers": "huggingface",
    "xgboost": "xgboost",
}
"""The extra of ours that brings a library, by the name it is imported by."""


def differences(folder: Path) -> list[str]:
    """Each requirement of the model that is not met here, as a text for people."""
    found = [text for line in _requirements(folder) if (text := _difference(line))]
    wanted = _python_version(folder)
    if wanted and wanted.split(".")[:2] != platform.python_version().split(".")[:2]:
        found.append(f"Python {wanted} (here: {platform.python_version()})")
    return found


def install_command(folder: Path, package: str) -> str:
    """The command that brings a package, by the name it is imported by."""
    if package in _EXTRAS:
        return f"pip install 'penstock[{_EXTRAS[package]}]'"
    lines = [str(line) for line in _requirements(folder) if line.name.replace("-", "_") == package]
    return f"pip install '{lines[0] if lines else package}'"


def _difference(requirement: Requirement) -> str | None:
    if requirement.marker and not requirement.marker.evaluate():
        return None
    version = _installed(requirement.name) or _installed(_OTHER_NAMES.get(requirement.name, ""))
    if version is None:
        return f"{requirement} (here: not installed)"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement} (here: {version})"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name) if name else None
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements(folder: Path) -> Iterator[Requirement]:
    """Those of its file that name a package; paths, addresses and options are passed over."""
    try:
        lines = (folder / _FILE_NAME).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            yield Requirement(line.partition(" #")[0])
        except InvalidRequirement:
            continue


def _python_version(folder: Path) -> str | None:
    try:
        content: Any = yaml.safe_load((folder / _ENVIRONMENT_FILE_NAME).read_text())
        return str(content["python"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return None
