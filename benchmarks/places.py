"""Where the benchmarks keep things, relative to the repository root."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
SERVERS = BENCHMARKS / "servers"
RESULTS = BENCHMARKS / "results"
CORPUS = BENCHMARKS / "corpus" / "sentences.txt"
VENVS = ROOT / ".bench-venvs"
MADE_MODELS = ROOT / ".bench-models"
PYTHON = ROOT / ".venv" / "bin" / "python"
PENSTOCK = Path(os.environ.get("BENCH_PENSTOCK", ROOT / ".venv" / "bin" / "penstock"))


def without_root(text: str) -> str:
    """Return `text` with the repository's own absolute path taken out of it."""
    return text.replace(f"{ROOT}/", "").replace(str(ROOT), ".")


def digits_repository() -> Path:
    """Return the model folder of the digits classifier: the shipped one, else one made here.

    Raises FileNotFoundError, saying which command makes the model, when there is neither.
    """
    for folder in (ROOT / "models" / "digits", MADE_MODELS / "digits"):
        if list(folder.glob("*/model.onnx")):
            return folder
    raise FileNotFoundError(
        "no digits model: expected models/digits/1/model.onnx; "
        "make one with `.venv/bin/python -m benchmarks.models.make_digits`"
    )


def newest_onnx(model_folder: Path) -> Path:
    """Return model.onnx of the highest numbered version folder; FileNotFoundError when none."""
    versions = [path for path in model_folder.glob("*/model.onnx") if path.parent.name.isdigit()]
    if not versions:
        raise FileNotFoundError(f"no version with a model.onnx in {model_folder}")
    return max(versions, key=lambda path: int(path.parent.name))


def venv_python(name: str) -> Path:
    """Return the interpreter of the peer environment `name`.

    Raises FileNotFoundError, saying which command makes it, when it is not there.
    """
    path = VENVS / name / "bin" / "python"
    if not path.exists():
        raise FileNotFoundError(
            f"no environment {path}; make it with `.venv/bin/python -m benchmarks.venvs {name}`"
        )
    return path
