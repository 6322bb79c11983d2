"""Small files that hold models, and tensors for them."""

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Tensor, object_array
from penstock.runtime.python_runtime import PythonExecutable

HEAD = """
import asyncio, dataclasses, typing
from dataclasses import dataclass
from typing import *
import msgspec, numpy as np, pydantic
from numpy.typing import NDArray
from penstock import *
"""

Load = Callable[..., PythonExecutable]


def write(folder: Path, code: str, name: str = "model.py") -> Path:
    path = folder / name
    path.write_text(HEAD + dedent(code))
    return path


def modules() -> set[str]:
    """The imported files of models that were not closed."""
    return {name for name in sys.modules if name.startswith("penstock_models")}


def refused(load: Load, code: str, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(code, **manifest)
    return caught.value.message


def texts(*items: str | bytes, name: str = "text") -> Tensor:
    raw = [item.encode() if isinstance(item, str) else item for item in items]
    return Tensor(name, DType.BYTES, object_array(raw))


def numbers(name: str, *items: float, dtype: DType = DType.FP64) -> Tensor:
    return Tensor(name, dtype, np.array(items, dtype.numpy))
