"""Small PyTorch models in each form, and how the tests ask them."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.errors import LoadFailed
from penstock.core.tensor import Array, Tensor
from penstock.repository.manifest import SignatureFields, TensorField
from tests.contract.runtime_contract import NoClient, artifact

torch = pytest.importorskip("torch")

from penstock.runtime.torch_runtime import (  # noqa: E402  # needs torch
    TorchExecutable,
    TorchRuntime,
)

X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
FIELDS = SignatureFields(inputs=(TensorField(name="x", datatype="FP32", shape=(-1, 4)),))
YAML = "signature: {inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]}\n"
NET = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self, classes: int = 3) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, classes)

        def forward(self, x):
            scores = self.layer(x)
            return {"scores": scores.softmax(-1), "best": scores.argmax(-1)}
"""


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.layer(x)
        return {"scores": scores.softmax(-1), "best": scores.argmax(-1)}


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x.clone()}


class Pair(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, a - b


def save_script(path: Path, model: Any = None) -> Path:
    torch.jit.script(model or Net()).save(str(path))
    return path


def save_program(
    path: Path, model: Any = None, *examples: Any, rows: Any = True, names: tuple[str, ...] = ("x",)
) -> Path:
    """Save an exported program; ``rows`` is its first dimension, True: free, None: fixed."""
    rows = torch.export.Dim("batch") if rows is True else rows
    shapes = None if rows is None else {name: {0: rows} for name in names}
    given = examples or (torch.zeros(2, 4),)
    program = torch.export.export((model or Net()).eval(), given, dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def save_class(folder: Path, weights: Any = None, name: str = "net.pt") -> Path:
    (folder / "net.py").write_text(textwrap.dedent(NET))
    torch.save(Net().state_dict() if weights is None else weights, folder / name)
    return folder / "net.py"


def load(path: Path, **manifest: Any) -> TorchExecutable:
    return TorchRuntime().load(artifact(path, "torch", **manifest), NoClient())


def load_class(path: Path, **options: Any) -> TorchExecutable:
    return load(path, signature=FIELDS, runtime_options={"weights": "net.pt"} | options)


def answer(executable: TorchExecutable, x: Array = X) -> dict[str, Tensor]:
    return {t.name: t for t in executable.execute((Tensor.from_array("x", x),), {}).outputs}


def expected(model: Any = None, x: Array = X) -> dict[str, Array]:
    with torch.inference_mode():
        named = (model or Net())(torch.from_numpy(x.copy()))
    return {name: value.numpy() for name, value in named.items()}


def assert_answers_as_the_model(executable: TorchExecutable, atol: float = 1e-6) -> None:
    got = answer(executable)
    for name, value in expected().items():
        np.testing.assert_allclose(got[name].array, value, atol=atol)


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("'m' version 1: ")
    return caught.value.message
