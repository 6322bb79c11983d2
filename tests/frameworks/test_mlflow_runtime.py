"""The ``mlflow`` runtime with models that MLflow's own ``save_model`` writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.errors import InvalidArgument, InvalidInput
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import SignatureFields, TensorField
from penstock.runtime.executable import Executable, ExecuteResult
from penstock.runtime.saved_example import saved_example
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks import mlflow_models as made
from tests.frameworks.mlflow_models import (
    TRUSTED,
    MlflowRuntime,
    change,
    load,
    pd,
    refused,
    trusted,
)


def tensors(**arrays: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor.from_array(name, np.asarray(array)) for name, array in arrays.items())


def ask(executable: Executable, _parameters: Any = None, /, **arrays: Any) -> ExecuteResult:
    return executable.execute(tensors(**arrays), _parameters or {})


def outputs(result: ExecuteResult) -> dict[str, Any]:
    return {tensor.name: tensor.array.tolist() for tensor in result.outputs}


def described(executable: Executable) -> list[list[tuple[str, str, tuple[int, ...]]]]:
    signature = executable.signature
    both = (signature.inputs, signature.outputs)
    return [[(s.name, str(s.dtype), s.shape) for s in specs] for specs in both]


class TestContract(RuntimeContractCore):
    runtime = MlflowRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(made.xgboost(folder / "model"), "mlflow")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = made.xgboost(folder / "model")
        (path.parent / "model.ubj").write_bytes(b"these are no trees")
        return artifact(path, "mlflow")


class TestTable:
    """A scikit-learn pipeline over a table, in skops, which needs no trust."""

    def test_columns_are_inputs(self, tmp_path: Path) -> None:
        executable = load(made.sklearn(tmp_path / "model"))
        assert described(executable) == [
            [("age", "INT64", (-1,)), ("city", "BYTES", (-1,)), ("height", "FP64", (-1,))],
            [("predictions", "INT64", (-1,))],
        ]

    def test_answers_are_mlflows_own(self, tmp_path: Path) -> None:
        path = made.sklearn(tmp_path / "model")
        rows = {"age": [3, 80, 40], "city": ["Rome", "Oslo", "Rome"], "height": [1.0, 1.9, 1.7]}
        expected = made.pyfunc.load_model(str(path.parent)).predict(pd.DataFrame(rows))
        assert outputs(ask(load(path), **rows)) == {"predictions": expected.tolist()}
        assert len(set(expected.tolist())) == 2

    def test_a_row_that_is_no_text_is_refused_alone(self, tmp_path: Path) -> None:
        executable = load(made.sklearn(tmp_path / "model"))
        cities = object_array([b"Rome", b"\xff", b"Oslo"])
        result = ask(executable, age=[3, 3, 80], city=cities, height=[1.0, 1.0, 1.9])
        assert {row: err.reason for row, err in result.invalid.items()} == {
            1: "input 'city': expected UTF-8 text, got b'\\xff'"
        }
        alone = ask(executable, age=[3, 80], city=["Rome", "Oslo"], height=[1.0, 1.9])
        assert outputs(result) == outputs(alone)
        only = ask(executable, age=[3], city=object_array([b"\xff"]), height=[1.0])
        assert (only.outputs, list(only.invalid)) == ((), [0])

    async def test_it_is_served_and_warmed_up_with_its_example(self, tmp_path: Path) -> None:
        # a city of zeros, "", would be refused: handle_unknown is "error"
        made.sklearn(tmp_path / "people" / "1")
        async with penstock.serving(tmp_path) as models:
            answer = await models.infer("people", age=[80], city=["Oslo"], height=[1.9])
        assert answer["predictions"].tolist() == [1]


class TestTensors:
    def test_an_unnamed_tensor(self, tmp_path: Path) -> None:
        path = made.xgboost(tmp_path / "model")
        executable = load(path)
        assert described(executable) == [
            [("inputs", "FP64", (-1, 2))],
            [("predictions", "INT64", (-1,))],
        ]
        rows = np.array([[0.0, 1.0], [9.0, 1.0]])
        expected = made.pyfunc.load_model(str(path.parent)).predict(rows).tolist()
        assert outputs(ask(executable, inputs=rows)) == {"predictions": expected}
        assert len(set(expected)) == 2

    def test_named_tensors_and_a_dictionary(self, tmp_path: Path) -> None:
        executable = trusted(made.tensors(tmp_path / "model"))
        assert described(executable) == [
            [("a", "FP32", (-1, 2)), ("t", "BYTES", (-1,))],
            [("double", "FP32", (-1, 2)), ("upper", "BYTES", (-1,))],
        ]
        result = ask(executable, a=np.float32([[1, 2], [3, 4]]), t=["é", "b"])
        assert outputs(result) == {
            "double": [[2, 4], [6, 8]],
            "upper": ["É".encode(), b"B"],
        }

    async def test_xgboost_is_served_without_trust(self, tmp_path: Path) -> None:
        made.xgboost(tmp_path / "trees" / "1")
        async with penstock.serving(tmp_path) as models:
            answer = await models.infer("trees", inputs=[[9.0, 1.0]])
        assert answer["predictions"].shape == (1,)


class TestEveryType:
    """A model of Python code that answers with what it was given."""

    def test_the_types_on_the_wire(self, tmp_path: Path) -> None:
        inputs, answers = described(trusted(made.every_type(tmp_path / "model")))
        assert inputs == answers
        assert [(name, dtype, shape) for name, dtype, shape in inputs] == [
            ("boolean", "BOOL", (-1,)),
            ("integer", "INT32", (-1,)),
            ("long", "INT64", (-1,)),
            ("float", "FP32", (-1,)),
            ("double", "FP64", (-1,)),
            ("string", "BYTES", (-1,)),
            ("binary", "BYTES", (-1,)),
            ("datetime", "BYTES", (-1,)),
            ("list", "FP64", (-1, -1)),
            ("object", "BYTES", (-1,)),
        ]

    def given(self) -> dict[str, Any]:
        return {
            "boolean": [True, False],
            "integer": np.int32([1, -2]),
            "long": [2**40, -1],
            "float": np.float32([0.5, -1.5]),
            "double": [0.1, float("inf")],
            "string": ["é", ""],
            "binary": object_array([b"\xff\x00", b""]),
            "datetime": ["2026-01-02T03:04:05", "1999-12-31T00:00:00"],
            "list": [[1.0, 2.0], [3.0, 4.0]],
            "object": [json.dumps({"k": 1}), json.dumps({"k": 2})],
        }

    def test_each_value_goes_through(self, tmp_path: Path) -> None:
        executable = trusted(made.every_type(tmp_path / "model"))
        result = ask(executable, **self.given())
        assert not result.invalid
        for sent, came in zip(tensors(**self.given()), result.outputs, strict=True):
            if sent.name == "object":
                assert [json.loads(v) for v in came.array] == [{"k": 1}, {"k": 2}]
            else:
                assert came == sent

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("datetime", "yesterday-ish", "expected a date and time as ISO 8601, got b'yest"),
            ("object", "{", "expected JSON, got b'{'"),
            ("object", '{"x": 1}', "MLflow refuses the row: "),
        ],
    )
    def test_a_bad_row_is_refused_alone(
        self, tmp_path: Path, name: str, value: str, text: str
    ) -> None:
        executable = trusted(made.every_type(tmp_path / "model"))
        given = self.given()
        given[name] = [given[name][0], value]
        result = ask(executable, **given)
        assert list(result.invalid) == [1]
        assert text in result.invalid[1].reason
        assert outputs(result)["long"] == [2**40]


class TestParameters:
    def test_they_reach_the_model(self, tmp_path: Path) -> None:
        executable = trusted(made.params(tmp_path / "model"))
        assert outputs(ask(executable, x=[1.0])) == {"y": [2.0]}
        assert outputs(ask(executable, {"factor": 3, "stranger": "x"}, x=[1.0])) == {"y": [3.0]}
        assert outputs(ask(executable, {"shift": "[1.0, 2.0]"}, x=[1.0])) == {"y": [5.0]}

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"factor": "3"}, "parameter 'factor': expected double, got '3'"),
            ({"factor": True}, "parameter 'factor': expected double, got True"),
            ({"shift": "1"}, "parameter 'shift': expected a JSON list of double as text, got '1'"),
            ({"shift": "[}"}, "parameter 'shift': expected a JSON list of double as text"),
            ({"shift": '["a"]'}, "parameter 'shift': expected a JSON list of double as text"),
        ],
    )
    def test_of_another_type(self, tmp_path: Path, parameters: Any, text: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            ask(trusted(made.params(tmp_path / "model")), parameters, x=[1.0])
        assert text in caught.value.message


def test_an_optional_column_may_be_left_out(tmp_path: Path) -> None:
    executable = trusted(made.optional(tmp_path / "model"))
    assert [spec.optional for spec in executable.signature.inputs] == [False, True]
    assert outputs(ask(executable, a=[1.0, 2.0])) == {"predictions": [1.0, 2.0]}
    assert outputs(ask(executable, a=[1.0], b=[5.0])) == {"predictions": [6.0]}


def test_type_hints_are_a_signature(tmp_path: Path) -> None:
    executable = trusted(made.hinted(tmp_path / "model"))
    assert described(executable)[0] == [("inputs", "BYTES", (-1,))]
    assert outputs(ask(executable, inputs=["a", "é"])) == {"predictions": [b"A", "É".encode()]}


@pytest.mark.parametrize("kind", ["series", "list", "records", "array", "table"])
def test_outputs_that_the_signature_does_not_name_are_seen_in_the_example(
    tmp_path: Path, kind: str
) -> None:
    executable = trusted(made.answering(tmp_path / "model", kind))
    name = {"records": "y", "table": "y"}.get(kind, "predictions")
    assert described(executable)[1] == [(name, "FP64", (-1,))]
    assert outputs(ask(executable, x=[1.0, 3.0])) == {name: [2.0, 6.0]}


def test_no_signature(tmp_path: Path) -> None:
    path = made.unsigned(tmp_path / "model")
    assert "the model has no signature: save it with " in refused(path, runtime_options=TRUSTED)
    fields = SignatureFields(
        inputs=(TensorField("x", "FP64", (-1, 2)),), outputs=(TensorField("y", "FP64", (-1,)),)
    )
    executable = trusted(path, signature=fields)
    assert outputs(ask(executable, x=[[1.0, 2.0], [3.0, 4.0]])) == {"y": [3.0, 7.0]}


def test_no_outputs_and_no_example(tmp_path: Path) -> None:
    path = made.answering(tmp_path / "model", "list")
    change(path, saved_input_example_info=None)
    assert "has no outputs, and there is no input example to see them by" in refused(
        path, runtime_options=TRUSTED
    )


def test_an_answer_that_does_not_fit(tmp_path: Path) -> None:
    executable = trusted(made.answering(tmp_path / "model", "list"))
    executable._predictor = SimplePredictor({"a": [1.0], "b": [2.0]})
    with pytest.raises(penstock.core.errors.MalformedAnswer, match="a dictionary of"):
        ask(executable, x=[1.0])


class SimplePredictor:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, data: Any, params: Any = None) -> Any:
        return self.answer


async def test_code_is_served_where_it_is_trusted(tmp_path: Path) -> None:
    made.params(tmp_path / "factor" / "1")
    (tmp_path / "factor" / "model.yaml").write_text("runtime_options: {trust_pickle: true}\n")
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer("factor", x=[1.0, 2.0])
        with pytest.raises(InvalidArgument):
            await models.infer("factor", z=[1.0])
    assert answer["y"].tolist() == [2.0, 4.0]


def test_the_example_is_read_without_the_library(tmp_path: Path) -> None:
    path = made.sklearn(tmp_path / "model")
    ref = artifact(path, "mlflow")
    example = saved_example(ref, load(path).signature)
    assert example is not None
    assert {t.name: t.array.tolist() for t in example} == {
        "age": [3, 80],
        "city": [b"Rome", b"Oslo"],
        "height": [1.0, 1.9],
    }


def test_the_example_of_each_kind_fits(tmp_path: Path) -> None:
    for name, options in (
        ("xgboost", {}),
        ("params", TRUSTED),
        ("tensors", TRUSTED),
        ("every_type", TRUSTED),
        ("hinted", TRUSTED),
    ):
        path = getattr(made, name)(tmp_path / name)
        executable = load(path, runtime_options=options)
        example = saved_example(artifact(path, "mlflow"), executable.signature)
        assert example is not None, name
        assert not executable.execute(example, {}).invalid


def test_an_example_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    signature = load(path).signature
    (path.parent / "input_example.json").write_text("[[1]]")
    assert saved_example(artifact(path, "mlflow"), signature) is None
    (path.parent / "input_example.json").unlink()
    assert saved_example(artifact(path, "mlflow"), signature) is None
    assert saved_example(artifact(tmp_path / "model.onnx", "onnx"), signature) is None


def test_loading_writes_nothing_and_reports_to_nobody(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    before = sorted(p.name for p in path.parent.rglob("*"))
    (tmp_path / "work").mkdir()
    script = (
        "import os, sys; from pathlib import Path\n"
        "from penstock.runtime.mlflow_runtime import MlflowRuntime\n"
        "from tests.contract.runtime_contract import NoClient, artifact\n"
        "MlflowRuntime().load(artifact(Path(sys.argv[1]), 'mlflow'), NoClient())\n"
        "print(os.environ['MLFLOW_DISABLE_TELEMETRY'], os.listdir('.'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=tmp_path / "work",
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("true []\n", "")
    assert sorted(p.name for p in path.parent.rglob("*")) == before
    shutil.rmtree(path.parent)


async def test_a_bad_row_over_the_server_fails_alone(tmp_path: Path) -> None:
    made.sklearn(tmp_path / "people" / "1")
    async with penstock.serving(tmp_path) as models:
        with pytest.raises(InvalidInput, match="expected UTF-8 text"):
            await models.infer("people", age=[80], city=[b"\xff"], height=[1.9])
