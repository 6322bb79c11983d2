"""Artifact formats as data: which file is the model, and which runtime runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

RUNTIME_BY_ENDING: Mapping[str, str] = MappingProxyType(
    {
        ".onnx": "onnx",
        ".py": "python",
        ".bst": "xgboost",
        ".cbm": "catboost",
        ".joblib": "sklearn",
        ".keras": "tensorflow",
        ".lgb": "lightgbm",
        ".pickle": "sklearn",
        ".pkl": "sklearn",
        ".pt": "torch",
        ".pt2": "torch",
        ".pth": "torch",
        ".skops": "sklearn",
        ".torchscript": "torch",
        ".ubj": "xgboost",
        ".xgb": "xgboost",
        ".xml": "openvino",
    }
)
"""The endings that are models, and the runtime that runs each unless told otherwise."""

FURTHER_ENDINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "lightgbm": (".txt",),
        "openvino": (".onnx",),
        "torch": (".py",),
        "xgboost": (".json",),
    }
)
"""Endings that a runtime runs too where the manifest names it: they may be anything else."""

HUB_FILE_NAME = "model.hub"
"""A file of one line, ``owner/name`` or ``owner/name@revision``: a model on a model hub."""

SAVED_CONFIG_NAME = "config.json"
"""With weights beside it, a saved transformers model."""

MLFLOW_FILE_NAME = "MLmodel"
"""The file that makes a folder an MLflow model, whatever else is in it."""

RUNTIME_BY_NAME: Mapping[str, str] = MappingProxyType(
    {
        HUB_FILE_NAME: "huggingface",
        SAVED_CONFIG_NAME: "huggingface",
        MLFLOW_FILE_NAME: "mlflow",
        "saved_model.pb": "tensorflow",
    }
)
"""Names that are artifacts whatever their ending, and the runtime of each."""

PREFERRED_NAMES = ("model.onnx", "model.py", HUB_FILE_NAME, MLFLOW_FILE_NAME)
"""Names that win where a folder holds several files that could be the model."""

FOREIGN_ENDINGS: Mapping[str, str] = MappingProxyType(
    {
        ".engine": "TensorRT",
        ".gguf": "GGUF",
        ".h5": "Keras 2",
        ".mlmodel": "Core ML",
        ".pb": "a frozen TensorFlow graph",
        ".plan": "TensorRT",
        ".safetensors": "safetensors",
        ".tflite": "TensorFlow Lite",
    }
)
"""Endings that are models, but of no runtime of this version, and whose they are."""

RUNTIMES = tuple(dict.fromkeys((*RUNTIME_BY_ENDING.values(), *RUNTIME_BY_NAME.values())))
"""The names a manifest's ``runtime`` may have."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """The file that is the model.

    Attributes:
        path: relative to the version's folder, with slashes.
        runtime: the runtime that runs it.
        class_name: the class to serve of a Python file; None: the only one there is.
    """

    path: str
    runtime: str
    class_name: str | None = None


def choose_artifact(
    files: Sequence[str], *, entry: str | None = None, runtime: str | None = None
) -> Artifact | str:
    """Say which of a version's files is the model.

    Law: depends on the set of names only, not on their order.

    Args:
        files: the files' paths relative to the version's folder.
        entry: the manifest's ``entry``, which wins; None: found by name and ending.
        runtime: the manifest's ``runtime``; None: any.

    Returns:
        The artifact, or why there is none: a text that says what was found and expected.
    """
    if entry is not None:
        return _by_entry(files, entry, runtime)
    known = {f: r for f in sorted(files) if "/" not in f and (r := _runtime_of(f, files, runtime))}
    fitting = [f for f, its_runtime in known.items() if runtime in (None, its_runtime)]
    candidates = _most_likely(fitting, runtime)
    if len(candidates) == 1:
        return Artifact(candidates[0], known[candidates[0]])
    if candidates:
        return f"several files could be the model: {_some(candidates)}; name one in 'entry'"
    if known:
        return f"'runtime: {runtime}' does not run {_some(list(known))}"
    return _none_found(files, runtime)


def refuse_ending(name: str) -> str:
    """Why a file of this name cannot be served at all."""
    ending = _ending(name)
    if name in RUNTIME_BY_NAME:
        return f"'{name}' is one file of a model: serve the folder it is in"
    if ending == ".safetensors" or _is_pickled(name):
        return (
            f"'{PurePosixPath(name).name}' is a model's weights alone: a saved transformers model "
            f"has its {SAVED_CONFIG_NAME} and its tokenizer beside them; serve the folder of all"
        )
    if further := [r for r, endings in FURTHER_ENDINGS.items() if ending in endings]:
        return (
            f"'{name}' may be anything: where it is a model, put it in a folder whose model.yaml "
            f"says 'runtime: {further[0]}', and serve the folder"
        )
    maker = f" ({FOREIGN_ENDINGS[ending]})" if ending in FOREIGN_ENDINGS else ""
    return (
        f"no runtime for '{ending or name}'{maker} in this version: "
        "convert the model to ONNX, or wrap it in a Python model"
    )


def is_model_file(name: str) -> bool:
    """Whether the ending is a model's, of a runtime of this version or not."""
    is_known = _ending(name) in RUNTIME_BY_ENDING or _ending(name) in FOREIGN_ENDINGS
    is_named = name in RUNTIME_BY_NAME and name != SAVED_CONFIG_NAME
    return is_known or is_named or _is_pickled(name)


def can_run(runtime: str | None, name: str) -> bool:
    """Whether a file of this name, which may be anything, is a model where ``runtime`` is named."""
    return runtime is not None and _ending(name) in FURTHER_ENDINGS.get(runtime, ())


def _most_likely(names: Sequence[str], runtime: str | None) -> Sequence[str]:
    """Of the files that could be the model, those that most plainly are."""
    if MLFLOW_FILE_NAME in names:
        return (MLFLOW_FILE_NAME,)  # everything beside it is its own
    preferred = [name for name in names if name in PREFERRED_NAMES]
    others = [name for name in names if name != SAVED_CONFIG_NAME]
    candidates = preferred or others or names
    python = [name for name in candidates if _ending(name) == ".py"]
    if python and runtime is None:  # it loads the other frameworks' files beside it
        return [*python, *(name for name in candidates if _ending(name) == ".onnx")]
    if runtime is not None and runtime in FURTHER_ENDINGS:  # what can be nothing else first
        own = [n for n in candidates if _ending(n) not in FURTHER_ENDINGS[runtime]]
        return own or [n for n in candidates if PurePosixPath(n).stem == "model"] or candidates
    return candidates


def _by_entry(files: Sequence[str], entry: str, runtime: str | None) -> Artifact | str:
    path, class_name = split_class(entry)
    path = str(PurePosixPath(path))
    name = PurePosixPath(path).name
    actual = RUNTIME_BY_NAME.get(name) or _runtime_of_ending(path, runtime)
    if path not in files:
        return f"'entry: {entry}' is not there; found: {_some(files)}"
    if actual is None:
        return f"'entry: {entry}': {refuse_ending(path)}"
    if runtime not in (None, actual):
        return f"'runtime: {runtime}' does not run 'entry: {entry}', which is {actual}"
    return Artifact(path, actual, class_name)


def split_class(text: str) -> tuple[str, str | None]:
    """``app.py:Class`` to its file and its class; None: no class is named."""
    path, colon, class_name = text.rpartition(":")
    if colon and path.endswith(".py") and class_name.isidentifier():
        return path, class_name
    return text, None


def _none_found(files: Sequence[str], runtime: str | None) -> str:
    foreign = sorted(f for f in files if _ending(f) in FOREIGN_ENDINGS or _is_pickled(f))
    if runtime == "huggingface":
        return (
            f"no artifact: expected {HUB_FILE_NAME}, or {SAVED_CONFIG_NAME} and *.safetensors "
            f"as save_pretrained writes them; found: {_some(files)}"
        )
    if foreign:
        return refuse_ending(foreign[0])
    if runtime is None:
        expected = "model.onnx or model.py, or one file of a format that a runtime serves"
        return f"no artifact: expected {expected}; found: {_some(files)}"
    endings = [e for e, name in RUNTIME_BY_ENDING.items() if name == runtime]
    endings += FURTHER_ENDINGS.get(runtime, ())
    names = [n for n, its_runtime in RUNTIME_BY_NAME.items() if its_runtime == runtime]
    wanted = [*names, f"one file ending in {' or '.join(endings)}"] if endings else names
    return f"no artifact: expected {' or '.join(wanted)}; found: {_some(files)}"


def _runtime_of_ending(name: str, runtime: str | None) -> str | None:
    """The runtime of a file's ending, ``runtime`` if it can; None: there is none."""
    if can_run(runtime, name):
        return runtime
    return RUNTIME_BY_ENDING.get(_ending(name))


def _runtime_of(name: str, files: Sequence[str], runtime: str | None) -> str | None:
    """The runtime of a file among others; None: it is no artifact."""
    if name != SAVED_CONFIG_NAME or runtime in FURTHER_ENDINGS:
        return RUNTIME_BY_NAME.get(name) or _runtime_of_ending(name, runtime)
    has_weights = any(
        "/" not in f and (_ending(f) == ".safetensors" or _is_pickled(f)) for f in files
    )
    return RUNTIME_BY_NAME[name] if has_weights else None


def _is_pickled(path: str) -> bool:
    """Whether it is the weights file of older transformers, which its runtime refuses."""
    name = PurePosixPath(path).name
    return name.startswith("pytorch_model") and name.endswith(".bin")


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _some(files: Sequence[str], limit: int = 8) -> str:
    """The first names of a list, for people."""
    names = sorted(files)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) + more) or "nothing"
