"""The ``catboost`` runtime beside CatBoost's own predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.errors import InvalidInput
from penstock.core.tensor import object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.tabular import Loading, run, served, specs

catboost = pytest.importorskip("catboost")

from penstock.runtime.catboost_runtime import CatboostRuntime  # noqa: E402  # needs the above

LOADING = Loading(CatboostRuntime(), "catboost")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4)).astype(np.float32)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 1], [-0.5, 0.5])
ROWS = X[:7].copy()
ROWS[2, 0] = np.nan
OPTIONS: dict[str, Any] = {
    "iterations": 4,
    "verbose": False,
    "allow_writing_files": False,
    "thread_count": 1,
}
CITY = RANDOM.choice(["Århus", "Bonn", "Cork"], 200)
FLOOR = RANDOM.integers(0, 3, 200)
TABLE = [[float(X[i, 0]), str(CITY[i]), int(FLOOR[i]), float(X[i, 1])] for i in range(200)]


def save(folder: Path, model: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.cbm"
    model.save_model(str(path))
    return path


def classifier(target: Any = BINARY, **options: Any) -> Any:
    return catboost.CatBoostClassifier(**OPTIONS, **options).fit(X, target)


def mixed(target: Any) -> Any:
    pool = catboost.Pool(
        TABLE, target, cat_features=[1, 2], feature_names=["size", "city", "floor", "age"]
    )
    return catboost.CatBoostClassifier(**OPTIONS).fit(pool)


def columns(rows: slice = slice(7)) -> dict[str, Any]:
    return {
        "size": X[rows, 0],
        "city": object_array([city.encode() for city in CITY[rows].tolist()]),
        "floor": object_array([str(floor).encode() for floor in FLOOR[rows].tolist()]),
        "age": X[rows, 1],
    }


class TestCatboostRuntime(RuntimeContractCore):
    runtime = CatboostRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder, classifier()), "catboost")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.cbm"
        path.write_bytes(b"this is no model")
        return artifact(path, "catboost")


class TestWithCategories(TestCatboostRuntime):
    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder, mixed(BINARY)), "catboost")


def test_a_binary_classifier(tmp_path: Path) -> None:
    model = classifier()
    options = {"outputs": ["prediction", "probability", "margin"]}
    executable = LOADING.load(save(tmp_path, model), runtime_options=options)
    assert specs(executable) == {
        "x": ("FP32", (-1, 4)),
        "prediction": ("INT64", (-1,)),
        "probability": ("FP64", (-1, 2)),
        "margin": ("FP64", (-1,)),
    }
    assert executable.inline_safe
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(ROWS))
    np.testing.assert_array_equal(answer["prediction"], model.predict(ROWS))
    np.testing.assert_array_equal(
        answer["margin"], model.predict(ROWS, prediction_type="RawFormulaVal")
    )
    assert run(executable, x=ROWS[:0])["margin"].shape == (0,)


def test_its_own_threshold(tmp_path: Path) -> None:
    model = classifier()
    model.set_probability_threshold(0.8)
    executable = LOADING.load(save(tmp_path, model))
    expected = model.predict_proba(X)[:, 1] > 0.8
    assert (expected != (model.predict_proba(X)[:, 1] > 0.5)).any()
    np.testing.assert_array_equal(run(executable, x=X)["prediction"], expected)


def test_class_names(tmp_path: Path) -> None:
    model = classifier(np.array(["hög", "låg", "mitt"])[THREE])
    executable = LOADING.load(save(tmp_path, model))
    assert executable.signature.output("probability").labels == ("hög", "låg", "mitt")
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(ROWS))
    expected = [name.encode() for name in model.predict(ROWS)[:, 0].tolist()]
    assert answer["prediction"].tolist() == expected


def test_several_labels_at_once(tmp_path: Path) -> None:
    model = classifier((X[:, :2] > 0).astype(int), loss_function="MultiLogloss")
    answer = run(LOADING.load(save(tmp_path, model)), x=ROWS)
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(ROWS))
    np.testing.assert_array_equal(answer["prediction"], model.predict(ROWS))


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        ("RMSE", X[:, 0]),
        ("Poisson", np.abs(X[:, 0])),
        ("MultiRMSE", X[:, :2]),
        ("RMSEWithUncertainty", X[:, 0]),
    ],
)
def test_numbers(tmp_path: Path, loss: str, target: Any) -> None:
    model = catboost.CatBoostRegressor(**OPTIONS, loss_function=loss).fit(X, target)
    executable = LOADING.load(save(tmp_path, model))
    expected = model.predict(ROWS)
    assert specs(executable)["prediction"] == ("FP64", (-1, *expected.shape[1:]))
    np.testing.assert_array_equal(run(executable, x=ROWS)["prediction"], expected)


def test_categories_are_text(tmp_path: Path) -> None:
    model = mixed(np.where(X[:, 0] > 0, "yes", "no"))
    executable = LOADING.load(save(tmp_path, model))
    assert {name: kind for name, (kind, _) in specs(executable).items()} == {
        "size": "FP32",
        "city": "BYTES",
        "floor": "BYTES",
        "age": "FP32",
        "prediction": "BYTES",
        "probability": "FP64",
    }
    answer = run(executable, **dict(reversed(columns().items())))
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(TABLE[:7]))
    assert answer["prediction"].tolist() == [s.encode() for s in model.predict(TABLE[:7]).tolist()]


def test_a_category_may_be_declared_as_integers(tmp_path: Path) -> None:
    model = mixed(BINARY)
    field = TensorField(name="floor", datatype="INT64", shape=(-1,))
    executable = LOADING.load(save(tmp_path, model), signature=SignatureFields(inputs=(field,)))
    answer = run(executable, **(columns() | {"floor": FLOOR[:7]}))
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(TABLE[:7]))


def test_a_category_declared_as_a_float(tmp_path: Path) -> None:
    field = TensorField(name="floor", datatype="FP32", shape=(-1,))
    message = LOADING.refused(
        save(tmp_path, mixed(BINARY)), signature=SignatureFields(inputs=(field,))
    )
    assert "the model does not score a row of its own features" in message


def test_a_text_feature(tmp_path: Path) -> None:
    words = ["good day", "bad night", "fine day", "dark night"]
    texts = [words[i % 4] for i in range(200)]
    pool = catboost.Pool([[t] for t in texts], [i % 2 for i in range(200)], text_features=[0])
    model = catboost.CatBoostClassifier(**OPTIONS).fit(pool)
    executable = LOADING.load(save(tmp_path, model))
    answer = run(executable, **{"0": object_array([t.encode() for t in words])})
    expected = model.predict_proba(catboost.Pool([[t] for t in words], text_features=[0]))
    np.testing.assert_array_equal(answer["probability"], expected)


def test_a_category_that_is_no_text_is_refused_for_its_row(tmp_path: Path) -> None:
    executable = LOADING.load(save(tmp_path, mixed(BINARY)))
    given = columns()
    given["city"][3] = b"\xff"
    with pytest.raises(InvalidInput, match="input 'city': expected UTF-8 text") as caught:
        run(executable, **given)
    assert caught.value.index == 3


def test_categories_are_no_matrix(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, mixed(BINARY)), runtime_options={"inputs": "matrix"})
    assert "expected 'columns' or 'auto' for a model with categorical or text features" in message


def test_embeddings(tmp_path: Path) -> None:
    pool = catboost.Pool([[row.tolist()] for row in X], BINARY, embedding_features=[0])
    path = save(tmp_path, catboost.CatBoostClassifier(**OPTIONS).fit(pool))
    assert "the model has embedding features" in LOADING.refused(path)


def test_another_device(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, classifier()), instances=Instances(device="cuda:0"))
    assert "device 'cuda:0' was asked for" in message


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, classifier())
    given: set[int] = set()
    predict = catboost.CatBoost.predict

    def note(model: Any, *args: Any, **kwargs: Any) -> Any:
        given.add(kwargs["thread_count"])
        return predict(model, *args, **kwargs)

    monkeypatch.setattr(catboost.CatBoost, "predict", note)
    run(LOADING.load(path, instances=Instances(threads_per_instance=threads)), x=ROWS)
    assert given == {threads or -1}


@pytest.mark.parametrize("kept_bytes", [0, 3, 4, 50, 300, -100, -3])
def test_a_cut_file(tmp_path: Path, kept_bytes: int) -> None:
    path = save(tmp_path, classifier())
    path.write_bytes(path.read_bytes()[:kept_bytes])
    message = LOADING.refused(path)
    assert "is no model CatBoost can load: " in message
    assert "copy it whole" in message


async def test_it_is_served(tmp_path: Path) -> None:
    model = mixed(BINARY)
    save(tmp_path / "flats" / "1", model)
    answer = await served(tmp_path / "flats", **columns())
    np.testing.assert_allclose(answer["probability"], model.predict_proba(TABLE[:7]), rtol=1e-12)
