"""The ``xgboost`` runtime beside XGBoost's own predictions."""

import logging
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.core.errors import InvalidInput
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.tabular import Loading, run, served, specs

xgb = pytest.importorskip("xgboost")

from penstock.runtime.xgboost_runtime import XgboostRuntime  # noqa: E402  # needs the import above

LOADING = Loading(XgboostRuntime(), "xgboost")
X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 1], [-0.5, 0.5])
NAMES = ["age", "income", "debt", "years"]
ROWS = X[:7].copy()
ROWS[2, 0] = np.nan


def train(target: Any, objective: str, *, names: Any = None, rounds: int = 4, **params: Any) -> Any:
    data = xgb.DMatrix(X, target, feature_names=names)
    return xgb.train({"objective": objective, "nthread": 1, **params}, data, rounds)


def save(folder: Path, booster: Any, name: str = "model.ubj") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / name)
    return folder / name


def probabilities(booster: Any, rows: Any = ROWS) -> Any:
    second = booster.inplace_predict(rows)
    return np.stack([1 - second, second], axis=1)


class TestXgboostRuntime(RuntimeContractCore):
    runtime = XgboostRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder, train(BINARY, "binary:logistic")), "xgboost")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.ubj"
        path.write_bytes(b"this is no booster")
        return artifact(path, "xgboost")


@pytest.mark.parametrize("ending", ["ubj", "json"])
def test_a_binary_classifier(tmp_path: Path, ending: str) -> None:
    booster = train(BINARY, "binary:logistic")
    executable = LOADING.load(save(tmp_path, booster, f"model.{ending}"))
    assert specs(executable) == {
        "x": ("FP32", (-1, 4)),
        "prediction": ("INT64", (-1,)),
        "probability": ("FP32", (-1, 2)),
    }
    assert executable.inline_safe
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["probability"], probabilities(booster))
    np.testing.assert_array_equal(answer["prediction"], booster.inplace_predict(ROWS) > 0.5)
    assert {0, 1} == set(answer["prediction"].tolist())


def test_the_ending_bst_is_read_as_what_it_holds(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic")
    path = save(tmp_path, booster, "model.json").rename(tmp_path / "model.bst")
    np.testing.assert_array_equal(
        run(LOADING.load(path), x=ROWS)["probability"], probabilities(booster)
    )


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_many_classes(tmp_path: Path, objective: str) -> None:
    booster = train(THREE, objective, num_class=3)
    options = {"outputs": ["prediction", "probability", "margin"], "labels": ["a", "é", "c"]}
    executable = LOADING.load(save(tmp_path, booster), runtime_options=options)
    assert specs(executable)["margin"] == ("FP32", (-1, 3))
    assert executable.signature.output("probability").labels == ("a", "é", "c")
    answer = run(executable, x=ROWS)
    margins = booster.inplace_predict(ROWS, predict_type="margin")
    np.testing.assert_array_equal(answer["margin"], margins)
    booster.set_param({"objective": "multi:softprob"})
    expected = booster.inplace_predict(ROWS)
    np.testing.assert_array_equal(answer["probability"], expected)
    names = np.array([b"a", "é".encode(), b"c"], object)
    assert answer["prediction"].tolist() == names[expected.argmax(axis=1)].tolist()


def test_several_labels_at_once(tmp_path: Path) -> None:
    booster = train((X[:, :2] > 0).astype(int), "binary:logistic")
    answer = run(LOADING.load(save(tmp_path, booster)), x=ROWS)
    expected = booster.inplace_predict(ROWS)
    np.testing.assert_array_equal(answer["probability"], expected)
    np.testing.assert_array_equal(answer["prediction"], expected > 0.5)
    assert answer["prediction"].dtype == np.int64


@pytest.mark.parametrize(
    ("target", "objective", "params"),
    [
        (X[:, 0], "reg:squarederror", {}),
        (np.abs(X[:, 0]), "count:poisson", {}),
        (X[:, 0], "reg:squarederror", {"booster": "dart", "rate_drop": 0.5}),
        (X[:, 0], "reg:squarederror", {"booster": "gblinear"}),
    ],
)
def test_numbers(tmp_path: Path, target: Any, objective: str, params: Any) -> None:
    booster = train(target, objective, **params)
    options = {"outputs": ["prediction", "margin"]}
    executable = LOADING.load(save(tmp_path, booster), runtime_options=options)
    assert specs(executable)["prediction"] == ("FP32", (-1,))
    answer = run(executable, x=X[:5])
    data = xgb.DMatrix(X[:5])
    np.testing.assert_allclose(answer["prediction"], booster.predict(data), rtol=1e-6)
    np.testing.assert_allclose(
        answer["margin"], booster.predict(data, output_margin=True), rtol=1e-6
    )
    assert run(executable, x=X[:0])["prediction"].shape == (0,)


def test_several_targets(tmp_path: Path) -> None:
    booster = train(X[:, :3], "reg:squarederror")
    executable = LOADING.load(save(tmp_path, booster))
    assert specs(executable)["prediction"] == ("FP32", (-1, 3))
    np.testing.assert_array_equal(
        run(executable, x=ROWS)["prediction"], booster.inplace_predict(ROWS)
    )


def test_a_linear_model_refuses_infinity_for_its_row_alone(tmp_path: Path) -> None:
    path = save(tmp_path, train(X[:, 0], "reg:squarederror", booster="gblinear"))
    rows = X[:3].copy()
    rows[1, 2] = np.inf
    with pytest.raises(InvalidInput, match="expected finite numbers or NaN, got inf") as caught:
        run(LOADING.load(path), x=rows)
    assert caught.value.index == 1


def test_one_output_is_named_bare(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    executable = LOADING.load(path, runtime_options={"outputs": "margin"})
    assert [s.name for s in executable.signature.outputs] == ["margin"]


def test_feature_names_are_told_and_may_be_inputs(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic", names=NAMES)
    path = save(tmp_path, booster)
    matrix = LOADING.load(path)
    assert matrix.signature.inputs[0].description == (
        "features in this order: age, income, debt, years"
    )
    columns = LOADING.load(path, runtime_options={"inputs": "columns"})
    assert [(s.name, str(s.dtype), s.shape) for s in columns.signature.inputs] == [
        (name, "FP32", (-1,)) for name in NAMES
    ]
    given = {name: ROWS[:, i] for i, name in enumerate(NAMES)}
    answer = run(columns, **dict(reversed(given.items())))
    np.testing.assert_array_equal(answer["probability"], run(matrix, x=ROWS)["probability"])


def test_a_column_that_may_be_left_out_is_missing(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic", names=NAMES)
    age = TensorField(name="age", datatype="INT32", shape=(-1,), optional=True)
    columns = LOADING.load(save(tmp_path, booster), signature=SignatureFields(inputs=(age,)))
    assert specs(columns)["age"] == ("INT32", (-1,))
    age = msgspec.structs.replace(age, datatype="FP64")
    columns = LOADING.load(tmp_path / "model.ubj", signature=SignatureFields(inputs=(age,)))
    rows = ROWS.copy()
    rows[:, 0] = np.nan
    given = {name: rows[:, i] for i, name in enumerate(NAMES) if name != "age"}
    np.testing.assert_array_equal(
        run(columns, **given)["probability"], probabilities(booster, rows)
    )


def test_another_number_for_missing(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic")
    executable = LOADING.load(save(tmp_path, booster), runtime_options={"missing": -9.0})
    rows = np.where(np.isnan(ROWS), np.float32(-9), ROWS)
    np.testing.assert_array_equal(run(executable, x=rows)["probability"], probabilities(booster))


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.float16])
def test_the_manifest_may_declare_another_datatype_and_name(tmp_path: Path, dtype: Any) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    names = {np.float64: "FP64", np.int64: "INT64", np.float16: "FP16"}
    field = TensorField(name="features", datatype=names[dtype], shape=(-1, 4))
    executable = LOADING.load(path, signature=SignatureFields(inputs=(field,)))
    rows = X[:5].astype(dtype)
    np.testing.assert_array_equal(
        run(executable, features=rows)["probability"],
        run(LOADING.load(path), x=rows.astype(np.float32))["probability"],
    )


@pytest.mark.parametrize(("iterations", "rounds"), [("best", 4), ("all", 9)])
def test_the_best_iteration_predicts(tmp_path: Path, iterations: str, rounds: int) -> None:
    booster = train(BINARY, "binary:logistic", rounds=9)
    booster.set_attr(best_iteration="3")
    options = {"iterations": iterations, "outputs": "margin"}
    got = run(LOADING.load(save(tmp_path, booster), runtime_options=options), x=ROWS)["margin"]
    expected = booster.predict(xgb.DMatrix(ROWS), output_margin=True, iteration_range=(0, rounds))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_attribute_that_makes_no_sense(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic")
    booster.set_attr(best_iteration="soon")
    assert "it does not score a row of its own features" in LOADING.refused(save(tmp_path, booster))


def test_categories_come_as_their_codes(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 5, 200).astype(np.float32)
    rows = np.stack([X[:, 0], codes], axis=1)
    data = xgb.DMatrix(
        rows,
        codes == 3,
        feature_types=["q", "c"],
        feature_names=["a", "b"],
        enable_categorical=True,
    )
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, data, 4)
    answer = run(LOADING.load(save(tmp_path, booster)), x=rows)
    np.testing.assert_allclose(answer["probability"][:, 1], booster.predict(data), rtol=1e-6)
    assert set(answer["prediction"][codes == 3].tolist()) == {1}


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    set_param = xgb.Booster.set_param

    def note(booster: Any, params: Any, value: Any = None) -> None:
        given.append(params)
        set_param(booster, params, value)

    monkeypatch.setattr(xgb.Booster, "set_param", note)
    LOADING.load(path, instances=Instances(threads_per_instance=threads))
    assert [p["nthread"] for p in given if "nthread" in p] == [threads] * (threads > 0)


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there(
    tmp_path: Path, device: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    if xgb.build_info()["USE_CUDA"]:
        pytest.skip("this XGBoost computes on GPUs")
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    message = LOADING.refused(path, instances=Instances(device=device))
    assert f"device '{device}' was asked for, but this XGBoost computes on the CPU here" in message
    options = {"fallback_to_cpu": True}
    executable = LOADING.load(path, runtime_options=options, instances=Instances(device=device))
    assert run(executable, x=ROWS)["prediction"].shape == (7,)
    assert "it computes on the CPU, as fallback_to_cpu says" in caplog.text


def test_a_device_of_no_known_name(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    message = LOADING.refused(path, instances=Instances(device="tpu"))
    assert "device 'tpu' was asked for, but this XGBoost computes on the CPU here" in message


BAD = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut": lambda data: data[: len(data) // 2],
    "its end is gone": lambda data: data[:-3],
    "another document": lambda data: b'{"a": 1}',
    "a pickle": lambda data: b"\x80\x04K\x01.",
    "the old binary format": lambda data: b"binf" + data[:200],
}


@pytest.mark.parametrize("damage", list(BAD))
@pytest.mark.parametrize("ending", ["ubj", "json"])
def test_a_bad_file(tmp_path: Path, ending: str, damage: str) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"), f"model.{ending}")
    path.write_bytes(BAD[damage](path.read_bytes()))
    message = LOADING.refused(path)
    assert "is no model XGBoost can load: " in message
    assert "booster.save_model('model.ubj')" in message
    assert "/workspace/" not in message


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"output": "margin"}, "$.runtime_options.output: unknown field, did you mean 'outputs'?"),
        ({"outputs": "margins"}, "or a list, got text 'margins'"),
        ({"outputs": ["margin", "margin"]}, "$.runtime_options.outputs: expected each output once"),
        ({"labels": ["a"]}, "labels: expected 2 labels, one for each class of the model, got 1"),
        ({"iterations": 3}, "iterations: expected 'all' or 'best', got 3"),
    ],
)
def test_wrong_options(tmp_path: Path, options: Any, text: str) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    assert text in LOADING.refused(path, runtime_options=options)


@pytest.mark.parametrize("options", [{"outputs": "probability"}, {"labels": ["a", "b"]}])
def test_numbers_have_no_classes(tmp_path: Path, options: Any) -> None:
    path = save(tmp_path, train(X[:, 0], "reg:squarederror"))
    assert "expected a classifier, the model gives numbers" in LOADING.refused(
        path, runtime_options=options
    )


def test_columns_without_names(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    message = LOADING.refused(path, runtime_options={"inputs": "columns"})
    assert "the model's features have no names" in message


def test_an_input_declared_as_text(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary:logistic"))
    field = TensorField(name="x", datatype="BYTES", shape=(-1, 4))
    message = LOADING.refused(path, signature=SignatureFields(inputs=(field,)))
    assert "'x' is declared as BYTES, but the model takes numbers, such as FP32" in message


async def test_it_is_served(tmp_path: Path) -> None:
    booster = train(BINARY, "binary:logistic")
    save(tmp_path / "loans" / "1", booster)
    answer = await served(tmp_path / "loans", x=ROWS)
    np.testing.assert_array_equal(answer["probability"], probabilities(booster))
