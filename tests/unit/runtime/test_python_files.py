"""What a file must hold to be a model of the ``python`` runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.repository.manifest import SignatureFields, TensorField
from penstock.runtime.python_runtime import PythonRuntime
from tests.contract.runtime_contract import NoClient, artifact

from .python_models import Load, modules, numbers, refused, write

ADVICE = (
    ". Hint arrays as Rows['FP32', 64], items as list[str] or list of a dataclass, TypedDict or "
    "pydantic model"
)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("(self, text) -> list[str]: ...", "parameter 'text' has no type hint"),
        ("(self, text: list[str]): ...", "its return value has no type hint"),
        ("(self) -> list[str]: ...", "it takes no input"),
        (
            "(self, text: list[str]) -> list[str]: yield text",
            "it streams, which this version of the server cannot serve yet",
        ),
        ("(self, x: list[dict]) -> list[str]: ...", "'x' is a list of <class 'dict'>"),
    ],
)
def test_hints_that_say_nothing(load: Load, method: str, text: str) -> None:
    message = refused(load, f"class M(Model):\n    def predict{method}")
    assert message == f"'m' version 1: cannot tell the signature from M.predict: {text}{ADVICE}"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (
            "x: str",
            "'x' is str; it is given all rows of a batch: write "
            'Rows["BYTES"], or list[str] where it is the only input',
        ),
        (
            "area: list[float], text: list[str]",
            "'area' is list[float]; where a method takes several inputs, each is an array: write "
            'Rows["FP64"]',
        ),
    ],
)
def test_hints_of_single_values_and_of_several_lists(
    load: Load, parameters: str, told: str
) -> None:
    message = refused(
        load, f"class M(Model):\n    def predict(self, {parameters}) -> list[str]: ..."
    )
    assert message == f"'m' version 1: cannot tell the signature from M.predict: {told}"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "",
            "'m' version 1: model.py should hold one subclass of penstock.Model, has []",
        ),
        (
            "class A(Model): ...\nclass B(Model): ...",
            "'m' version 1: model.py should hold one subclass of penstock.Model, has ['A', 'B']",
        ),
        (
            "class A(Model): ...",
            "'m' version 1: class 'A' in model.py has no predict",
        ),
        (
            "raise OSError('no disk')",
            "'m' version 1: importing model.py raised OSError: no disk",
        ),
        (
            "import no_such_package",
            "'m' version 1: importing model.py raised ModuleNotFoundError: "
            "No module named 'no_such_package'",
        ),
        (
            "class A(Model):\n"
            "    def predict(self, x: Rows['FP32']) -> Rows['FP32']: ...\n"
            "    def load(self, context): raise KeyError('weights')",
            "'m' version 1: loading the model raised KeyError: 'weights'",
        ),
        (
            "class A(Model):\n    def predict(self, x: Rows['FP31']) -> Rows['FP32']: ...",
            "'m' version 1: 'x' is declared as Rows['FP31']; datatypes are "
            f"{[str(d) for d in DType]}",
        ),
        (
            "class A(Model):\n    def __init__(self, x): ...",
            "'m' version 1: loading the model raised TypeError: "
            "A.__init__() missing 1 required positional argument: 'x'",
        ),
    ],
)
def test_files_that_hold_no_model(load: Load, code: str, text: str) -> None:
    others = modules()
    assert refused(load, code) == text
    assert modules() == others


TWO = """
class A(Model):
    def predict(self, x: Rows["FP32"]) -> Rows["FP32"]:
        return x

class B(A):
    pass
"""


def test_the_class_is_named(load: Load) -> None:
    assert type(load(TWO, class_name="B")._model).__name__ == "B"
    assert refused(load, TWO, class_name="C") == (
        "'m' version 1: model.py should hold a class 'C', has ['A', 'B']"
    )


def test_files_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3")
    (tmp_path / "later.py").write_text("ADD = 1")
    path = write(
        tmp_path,
        """
        from .beside import FACTOR

        class Scale(Model):
            def predict(self, x: Rows["FP32"]) -> Rows["FP32"]:
                from .later import ADD
                return x * FACTOR + ADD
        """,
    )
    ref = artifact(path, "python")
    others = modules()
    first = PythonRuntime().load(ref, NoClient())
    second = PythonRuntime().load(ref, NoClient())
    first.close()
    x = numbers("x", 1, 2, dtype=DType.FP32)
    assert second.execute((x,), {}).outputs[0].array.tolist() == [4, 7]
    second.close()
    assert modules() == others


def test_the_manifest_may_hold_the_signature(load: Load) -> None:
    fields = SignatureFields(
        inputs=(TensorField(name="x", datatype="FP32", shape=(-1, 2)),),
        outputs=(TensorField(name="y", datatype="FP32", shape=(-1,)),),
    )
    model = load(
        """
        class Sum(Model):
            def predict(self, x):
                return {"y": x.sum(axis=1)}
        """,
        signature=fields,
    )
    x = Tensor("x", DType.FP32, np.ones((3, 2), np.float32))
    assert model.execute((x,), {}).outputs == (numbers("y", 2, 2, 2, dtype=DType.FP32),)


def test_what_a_model_is_told_and_when_it_is_closed(load: Load, tmp_path: Path) -> None:
    model = load(
        """
        class Keeper(Model):
            def load(self, context: ModelContext):
                self.context, self.closed = context, False
            def close(self):
                self.closed = True
            def predict(self, x: Rows["FP32"]) -> Rows["FP32"]:
                return x
        """,
        runtime_options={"k": 1},
    )
    user: Any = model._model
    context = user.context
    assert (context.name, context.version, context.path) == ("m", 1, tmp_path)
    assert (context.device, context.options) == ("cpu", {"k": 1})
    model.close()
    assert user.closed


def test_an_array_without_datatype_and_shape(load: Load) -> None:
    text = refused(
        load,
        """
        class Bare(Model):
            def predict(self, x: np.ndarray) -> Rows["FP32"]:
                return x
        """,
    )
    assert text.endswith(
        "'x: np.ndarray' does not say datatype and shape: write Rows[\"FP32\", 64]"
    )
