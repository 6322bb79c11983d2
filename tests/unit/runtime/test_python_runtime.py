"""The ``python`` runtime with small files."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.python_runtime import PythonRuntime
from tests.contract.runtime_contract import RuntimeContract, artifact

from .python_models import Load, numbers, texts, write


class TestPythonRuntime(RuntimeContract):
    runtime = PythonRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        code = f"""
        class Out(TypedDict):
            y: Rows["{dtype}", 2]

        class Identity(Model):
            def predict(self, x: Rows["{dtype}", 2]) -> Out:
                return {{"y": x}}
        """
        return artifact(write(folder, code), "python")

    def corrupt(self, folder: Path) -> ArtifactRef:
        return artifact(write(folder, "def ("), "python")


ITEMS = {
    "dataclass": """
        @dataclass
        class Item:
            text: str
            size: int
            score: float = 0.5
        """,
    "pydantic": """
        class Item(pydantic.BaseModel):
            text: str
            size: int
            score: float = 0.5
        """,
    "msgspec": """
        class Item(msgspec.Struct):
            text: str
            size: int
            score: float = 0.5
        """,
}
ECHO = """
class Echo(Model):
    def predict(self, items: list[Item]) -> list[Item]:
        return items
"""


@pytest.mark.parametrize("style", list(ITEMS))
def test_items_of_a_class(load: Load, style: str) -> None:
    model = load(dedent(ITEMS[style]) + ECHO)
    assert [(s.name, s.dtype, s.shape, s.optional) for s in model.signature.inputs] == [
        ("text", DType.BYTES, (-1,), False),
        ("size", DType.INT64, (-1,), False),
        ("score", DType.FP64, (-1,), True),
    ]
    size = numbers("size", 1, 2, dtype=DType.INT64)
    score = numbers("score", 0.25, 0.75)
    result = model.execute((size, texts("a", "b"), score), {})
    assert result.outputs == (texts("a", "b"), size, score)
    result = model.execute((texts("a", "b"), size), {})
    assert result.outputs[2] == numbers("score", 0.5, 0.5)
    assert model.signature.batched
    assert not model.inline_safe


def test_items_of_a_typed_dict(load: Load) -> None:
    model = load("""
        class Item(TypedDict):
            text: str
            size: NotRequired[int]

        class Echo(Model):
            def predict(self, items: list[Item]) -> list[str]:
                return [i["text"] * i.get("size", 2) for i in items]
        """)
    assert [s.optional for s in model.signature.inputs] == [False, True]
    assert model.execute((texts("a"),), {}).outputs == (texts("aa", name="output"),)
    size = numbers("size", 3, dtype=DType.INT64)
    assert model.execute((texts("a"), size), {}).outputs == (texts("aaa", name="output"),)


@pytest.mark.parametrize(
    "code",
    [
        "class Item(TypedDict):\n    text: str\n    size: int | None",
        "@dataclass\nclass Item:\n    text: str\n    size: int | None",
        "class Item(pydantic.BaseModel):\n    text: str\n    size: Optional[int]",
        "class Item(pydantic.BaseModel):\n    text: str\n    size: int | None = None",
    ],
)
def test_an_optional_field_that_is_left_out_is_none(load: Load, code: str) -> None:
    model = load(f"""
{code}

class Show(Model):
    def predict(self, items: list[Item]) -> list[str]:
        return [str(i["size"] if isinstance(i, dict) else i.size) for i in items]
""")
    assert [s.optional for s in model.signature.inputs] == [False, True]
    assert model.execute((texts("a"),), {}).outputs == (texts("None", name="output"),)


@pytest.mark.parametrize(
    ("hint", "dtype", "values"),
    [
        ("str", DType.BYTES, [b"a", "é".encode()]),
        ("bytes", DType.BYTES, [b"a", b"\xff"]),
        ("bool", DType.BOOL, [True, False]),
        ("int", DType.INT64, [-1, 2**62]),
        ("float", DType.FP64, [0.5, -0.0]),
    ],
)
def test_items_that_are_scalars(load: Load, hint: str, dtype: DType, values: list[Any]) -> None:
    model = load(f"""
        class Echo(Model):
            def predict(self, value: list[{hint}]) -> list[{hint}]:
                assert all(type(v) is {hint} for v in value)
                return value
        """)
    array = object_array(values) if dtype is DType.BYTES else np.array(values, dtype.numpy)
    tensor = Tensor("value", dtype, array)
    assert model.execute((tensor,), {}).outputs == (tensor.renamed("output"),)


def test_items_that_are_arrays(load: Load) -> None:
    model = load("""
        class Norm(Model):
            def predict(self, v: list[Rows["FP32", 2]]) -> list[Rows["FP32", 1]]:
                return [np.array([x.sum()]) for x in v]
        """)
    v = Tensor("v", DType.FP32, np.arange(6, dtype=np.float32).reshape(3, 2))
    (out,) = model.execute((v,), {}).outputs
    assert (out.dtype, out.array.tolist()) == (DType.FP32, [[1], [5], [9]])
    empty = Tensor("v", DType.FP32, np.zeros((0, 2), np.float32))
    assert model.execute((empty,), {}).outputs[0].shape == (0, 1)


def test_columns(load: Load) -> None:
    model = load("""
        class Out(TypedDict):
            total: Rows["FP32"]
            twice: NDArray[np.float32]

        class Sums(Model):
            inline_safe = True
            def predict(self, a: Rows["FP32", 2], b: NDArray[np.float32]) -> Out:
                return {"twice": a + b, "total": (a + b).sum(axis=1)}
        """)
    a = Tensor("a", DType.FP32, np.ones((2, 2), np.float32))
    outputs = model.execute((a, a.renamed("b")), {}).outputs
    assert [(s.name, s.shape) for s in model.signature.inputs] == [("a", (-1, 2)), ("b", (-1, -1))]
    assert [(t.name, t.array.tolist()) for t in outputs] == [
        ("total", [4, 4]),
        ("twice", [[2, 2], [2, 2]]),
    ]
    assert model.inline_safe


def test_columns_that_may_be_left_out(load: Load) -> None:
    model = load("""
        class Sums(Model):
            def predict(
                self, a: Rows["FP32"], b: Rows["FP32"] | None, c: Rows["FP32"] | None = 5
            ) -> Rows["FP32"]:
                return a + (7 if b is None else b) + c
        """)
    assert [s.optional for s in model.signature.inputs] == [False, True, True]
    a = numbers("a", 1, dtype=DType.FP32)
    assert model.execute((a,), {}).outputs[0].array.tolist() == [13]
    assert model.execute((a, a.renamed("b")), {}).outputs[0].array.tolist() == [7]


def test_bf16_reaches_the_model_as_float32(load: Load) -> None:
    model = load("""
        class Half(Model):
            def predict(self, x: Rows["BF16"]) -> Rows["BF16"]:
                assert x.dtype == np.float32
                return x / 3
        """)
    x = Tensor("x", DType.BF16, np.array([0x3F80, 0x7FC0, 0xFF80], np.uint16))
    (out,) = model.execute((x,), {}).outputs
    assert out.array.tolist() == [0x3EAB, 0x7FC0, 0xFF80]


def test_stages_and_parameters(load: Load) -> None:
    model = load("""
        class Steps(Model):
            def preprocess(self, text: list[str]) -> list[str]:
                return [t.strip() for t in text]

            async def predict(self, items, parameters):
                await asyncio.sleep(0)
                return [t * parameters.get("times", 1) for t in items]

            def postprocess(self, items) -> list[int]:
                return [len(t) for t in items]
        """)
    outputs = model.execute((texts(" a ", "bc"),), {"times": 3}).outputs
    assert outputs == (numbers("output", 3, 6, dtype=DType.INT64),)
    assert model.execute((texts("a"),), {}).outputs[0].array.tolist() == [1]


def test_stages_of_columns(load: Load) -> None:
    model = load("""
        class Steps(Model):
            def preprocess(self, x: Rows["FP32"], parameters: dict):
                return x + parameters["add"]
            def predict(self, x) -> Rows["FP32"]:
                return x * 2
        """)
    x = numbers("x", 1, 2, dtype=DType.FP32)
    assert model.execute((x,), {"add": 1}).outputs[0].array.tolist() == [4, 6]


REFUSES = {
    "raises": """
        for i, t in enumerate(text):
            if "!" in t:
                raise InvalidInput(i, f"{t} shouts")
        return text
        """,
    "returns": """
        return [InvalidInput(i, f"{t} shouts") if "!" in t else t for i, t in enumerate(text)]
        """,
}


@pytest.mark.parametrize("how", list(REFUSES))
def test_refused_items(load: Load, how: str) -> None:
    body = dedent(REFUSES[how]).replace("\n", "\n        ")
    model = load(f"""
class Shy(Model):
    def predict(self, text: list[str]) -> list[str]:
        {body}
""")
    result = model.execute((texts("a!", "b", "c!", "d"),), {})
    assert result.outputs == (texts("b", "d", name="output"),)
    assert {row: err.reason for row, err in result.invalid.items()} == {
        0: "a! shouts",
        2: "c! shouts",
    }
    result = model.execute((texts("a!"),), {})
    assert result.outputs[0].shape == (0,)
    assert list(result.invalid) == [0]


def test_rows_refused_by_one_stage_after_another(load: Load) -> None:
    model = load("""
        class Picky(Model):
            def preprocess(self, text: list[str]):
                return [InvalidInput(i, f"no {t}") if t == "a" else t for i, t in enumerate(text)]

            def predict(self, items):
                if "c" in items:
                    raise InvalidInput(items.index("c"), "no c")
                return items

            def postprocess(self, items) -> list[str]:
                return [InvalidInput(i, f"no {t}") if t == "e" else t for i, t in enumerate(items)]
        """)
    result = model.execute((texts("a", "b", "c", "d", "e"),), {})
    assert result.outputs == (texts("b", "d", name="output"),)
    reasons = {row: error.reason for row, error in result.invalid.items()}
    assert reasons == {0: "no a", 2: "no c", 4: "no e"}


def test_items_that_cannot_be_made(load: Load) -> None:
    model = load("""
        class Item(pydantic.BaseModel):
            text: str = pydantic.Field(max_length=3)

        class Echo(Model):
            def predict(self, items: list[Item]) -> list[str]:
                return [i.text for i in items]
        """)
    result = model.execute((texts("ok", "too long", b"\xff"),), {})
    assert result.outputs == (texts("ok", name="output"),)
    assert result.invalid[1].reason.startswith("Item: 1 validation error for Item")
    assert result.invalid[2].reason == "input 'text': expected UTF-8 text, got other bytes"


def test_a_row_that_columns_refuse(load: Load) -> None:
    model = load("""
        class Shy(Model):
            def predict(self, x: Rows["FP32"]) -> Rows["FP32"]:
                raise InvalidInput(1, "no")
        """)
    with pytest.raises(InvalidInput, match=r"^no$"):
        model.execute((numbers("x", 1, 2, dtype=DType.FP32),), {})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return text[:1]", "predict was given 2 items and answered with 1"),
        ("return text + text", "predict was given 2 items and answered with 4"),
        ("raise InvalidInput(5, 'x')", "predict refused item 5 of a batch of 2"),
        ("raise InvalidInput(-1, 'x')", "predict refused item -1 of a batch of 2"),
    ],
)
def test_wrong_answers_of_items(load: Load, body: str, text: str) -> None:
    model = load(f"""
        class Wrong(Model):
            def predict(self, text: list[str]) -> list[str]:
                {body}
        """)
    with pytest.raises(MalformedAnswer) as caught:
        model.execute((texts("a", "b"),), {})
    assert caught.value.message == text


def test_an_output_is_missing(load: Load) -> None:
    model = load("""
        class Out(TypedDict):
            y: Rows["FP32"]

        class Wrong(Model):
            def predict(self, x: Rows["FP32"]) -> Out:
                return {"z": x}
        """)
    with pytest.raises(MalformedAnswer, match=r"^answered \['z'\], declared \['y'\]$"):
        model.execute((numbers("x", 1, dtype=DType.FP32),), {})


@pytest.mark.parametrize(
    ("declared", "answer", "text"),
    [
        ('Rows["INT64"]', "x * 1.5", "output 'output' is FP64, declared INT64"),
        ('Rows["INT64"]', "x * np.nan", "output 'output' is FP64, declared INT64"),
        ('Rows["INT64"]', "[1.5]", "output 'output' is FP64, declared INT64"),
        ('Rows["UINT8"]', "np.array([-1])", "output 'output' is INT64, declared UINT8"),
        ('Rows["UINT8"]', "[256]", "output 'output' is INT64, declared UINT8"),
        ('Rows["BF16"]', "['a']", "output 'output' is BYTES, declared BF16"),
        ('Rows["BOOL"]', "[1]", "output 'output' is INT64, declared BOOL"),
    ],
)
def test_numbers_of_another_kind_are_refused(
    load: Load, declared: str, answer: str, text: str
) -> None:
    model = load(f"""
        class Wrong(Model):
            def predict(self, x: Rows["FP64"]) -> {declared}:
                return {answer}
        """)
    with pytest.raises(MalformedAnswer) as caught:
        model.execute((numbers("x", 1),), {})
    assert caught.value.message == text


@pytest.mark.parametrize("hint", ["int", "bool"])
def test_items_of_another_kind_are_refused(load: Load, hint: str) -> None:
    model = load(f"""
        class Wrong(Model):
            def predict(self, x: list[float]) -> list[{hint}]:
                return x
        """)
    with pytest.raises(MalformedAnswer, match=r"^output 'output' is FP64, declared "):
        model.execute((numbers("x", 1.5, float("nan")),), {})


@pytest.mark.parametrize(
    ("declared", "answer", "dtype"),
    [
        ('Rows["FP32"]', "np.array([1, 2])", DType.FP32),
        ('Rows["FP32"]', "np.array([1.0, 2.0])", DType.FP32),
        ('Rows["INT64"]', "np.array([True, False]) + np.int8(1)", DType.INT64),
        ('Rows["UINT8"]', "[1, 2]", DType.UINT8),
        ('Rows["BF16"]', "[1, 2]", DType.BF16),
        ('Rows["INT64"]', "[]", DType.INT64),
    ],
)
def test_numbers_of_the_same_kind_are_converted(
    load: Load, declared: str, answer: str, dtype: DType
) -> None:
    model = load(f"""
        class Right(Model):
            def predict(self, x: Rows["FP64"]) -> {declared}:
                return {answer}
        """)
    (out,) = model.execute((numbers("x", 1),), {}).outputs
    assert (out.dtype, out.array.dtype) == (dtype, dtype.numpy)
