"""The ``lightgbm`` runtime beside LightGBM's own predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.tabular import Loading, run, served, specs

lgb = pytest.importorskip("lightgbm")

from penstock.runtime.lightgbm_runtime import LightgbmRuntime  # noqa: E402  # needs the above

LOADING = Loading(LightgbmRuntime(), "lightgbm")
X = np.random.default_rng(0).normal(size=(300, 4))
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 1], [-0.5, 0.5])
NAMES = ["age", "income", "debt", "years"]
ROWS = X[:7].copy()
ROWS[2, 0] = np.nan


def train(target: Any, objective: str, *, names: Any = "auto", rounds: int = 4, **more: Any) -> Any:
    params = {"objective": objective, "verbose": -1, "num_threads": 1, **more}
    return lgb.train(params, lgb.Dataset(X, target, feature_name=names), rounds)


def save(folder: Path, booster: Any, name: str = "model.lgb") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / name)
    return folder / name


def probabilities(booster: Any, rows: Any = ROWS) -> Any:
    second = booster.predict(rows)
    return np.stack([1 - second, second], axis=1)


class TestLightgbmRuntime(RuntimeContractCore):
    runtime = LightgbmRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder, train(BINARY, "binary")), "lightgbm")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.txt"
        path.write_bytes(b"this is no booster")
        return artifact(path, "lightgbm")


@pytest.mark.parametrize("ending", ["lgb", "txt"])
def test_a_binary_classifier(tmp_path: Path, ending: str) -> None:
    booster = train(BINARY, "binary")
    executable = LOADING.load(save(tmp_path, booster, f"model.{ending}"))
    assert specs(executable) == {
        "x": ("FP64", (-1, 4)),
        "prediction": ("INT64", (-1,)),
        "probability": ("FP64", (-1, 2)),
    }
    assert executable.inline_safe
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["probability"], probabilities(booster))
    np.testing.assert_array_equal(answer["prediction"], booster.predict(ROWS) > 0.5)
    assert {0, 1} == set(answer["prediction"].tolist())
    assert run(executable, x=ROWS[:0])["probability"].shape == (0, 2)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_many_classes(tmp_path: Path, objective: str) -> None:
    booster = train(THREE, objective, num_class=3)
    options = {"outputs": ["prediction", "probability", "margin"], "labels": ["a", "b", "c"]}
    executable = LOADING.load(save(tmp_path, booster), runtime_options=options)
    answer = run(executable, x=ROWS)
    expected = booster.predict(ROWS)
    np.testing.assert_array_equal(answer["probability"], expected)
    np.testing.assert_array_equal(answer["margin"], booster.predict(ROWS, raw_score=True))
    names = np.array([b"a", b"b", b"c"], object)
    assert answer["prediction"].tolist() == names[expected.argmax(axis=1)].tolist()


@pytest.mark.parametrize("objective", ["regression", "poisson", "cross_entropy"])
def test_numbers(tmp_path: Path, objective: str) -> None:
    booster = train(BINARY, objective)
    options = {"outputs": ["prediction", "margin"]}
    answer = run(LOADING.load(save(tmp_path, booster), runtime_options=options), x=ROWS)
    np.testing.assert_array_equal(answer["prediction"], booster.predict(ROWS))
    np.testing.assert_array_equal(answer["margin"], booster.predict(ROWS, raw_score=True))


def test_what_early_stopping_kept_is_what_predicts(tmp_path: Path) -> None:
    held_out = lgb.Dataset(X[:50], 1 - BINARY[:50])
    booster = lgb.train(
        {"objective": "binary", "verbose": -1},
        lgb.Dataset(X, BINARY),
        20,
        valid_sets=[held_out],
        callbacks=[lgb.early_stopping(2, verbose=False)],
    )
    assert 0 < booster.best_iteration < 20
    answer = run(LOADING.load(save(tmp_path, booster)), x=ROWS)
    np.testing.assert_array_equal(answer["probability"], probabilities(booster))


def test_columns_by_name(tmp_path: Path) -> None:
    booster = train(BINARY, "binary", names=NAMES)
    columns = LOADING.load(save(tmp_path, booster), runtime_options={"inputs": "columns"})
    answer = run(columns, **{name: ROWS[:, i] for i, name in enumerate(NAMES)})
    np.testing.assert_array_equal(answer["probability"], probabilities(booster))


def test_made_up_names_are_none(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    assert LOADING.load(path).signature.inputs[0].description == ""
    assert "have no names" in LOADING.refused(path, runtime_options={"inputs": "columns"})


def test_single_precision_where_the_manifest_declares_it(tmp_path: Path) -> None:
    booster = train(BINARY, "binary")
    field = TensorField(name="x", datatype="FP32", shape=(-1, 4))
    signature = SignatureFields(inputs=(field,))
    answer = run(LOADING.load(save(tmp_path, booster), signature=signature), x=np.float32(ROWS))
    np.testing.assert_array_equal(answer["probability"], probabilities(booster, np.float32(ROWS)))


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    given: list[int] = []
    predict = lgb.Booster.predict

    def note(booster: Any, *args: Any, **kwargs: Any) -> Any:
        given.append(kwargs["num_threads"])
        return predict(booster, *args, **kwargs)

    monkeypatch.setattr(lgb.Booster, "predict", note)
    run(LOADING.load(path, instances=Instances(threads_per_instance=threads)), x=ROWS)
    assert given == [threads]


def test_another_device(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    assert LOADING.refused(path, instances=Instances(device="cuda")) == (
        "'m' version 1: device 'cuda' was asked for, but LightGBM computes predictions on the "
        "CPU only: say instances.device: cpu"
    )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.76])
def test_a_cut_file_is_refused_before_lightgbm_ends_the_process(
    tmp_path: Path, share: float
) -> None:
    path = save(tmp_path, train(BINARY, "binary", rounds=12))
    data = path.read_bytes()
    end = data.index(b"end of trees")
    path.write_bytes(data[: min(int(len(data) * share), end)])
    message = LOADING.refused(path)
    assert "is no model LightGBM can load: " in message
    assert "copy it whole, byte for byte" in message


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"\n", b"\r\n", "its line ends were changed"),
        (b"Tree=2", b"Trie=2", "tree 2 of 4 is not where its header says, or not whole"),
        (b"leaf_value=", b"leaf_velue=", "tree 0 of 4: its field 'leaf_value' is missing"),
        (b"left_child=1", b"left_child=0", "its left_child leads nowhere, or in a circle"),
        (b"tree_sizes=", b"tree_sizes=9 ", "tree 0 of 5"),
        (b"tree_sizes=", b"tree_sizes=a ", "are no numbers"),
        (b"tree_sizes=", b"tree_size=", "the text does not end after its 0 trees"),
        (b"tree\n", b"", "it does not begin with the line 'tree'"),
    ],
)
def test_a_changed_file(tmp_path: Path, old: bytes, new: bytes, text: str) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    path.write_bytes(path.read_bytes().replace(old, new))
    assert text in LOADING.refused(path)


def test_a_header_lightgbm_refuses(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    path.write_bytes(path.read_bytes().replace(b"label_index=", b"label_indey="))
    assert "is no model LightGBM can load: " in LOADING.refused(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = save(tmp_path, train(BINARY, "binary"))
    path.write_bytes(path.read_bytes() + b"\xff")
    assert "is no model LightGBM can load: " in LOADING.refused(path)


@pytest.mark.parametrize("extra", [{"linear_tree": True}, {"boosting": "dart"}, {"num_leaves": 2}])
def test_other_kinds_of_trees_pass_the_check(tmp_path: Path, extra: Any) -> None:
    booster = train(X[:, 0], "regression", **extra)
    answer = run(LOADING.load(save(tmp_path, booster)), x=ROWS)
    np.testing.assert_allclose(answer["prediction"], booster.predict(ROWS), rtol=1e-9)


def test_trees_that_never_split_pass_the_check(tmp_path: Path) -> None:
    booster = train(np.ones(len(X)), "regression")
    answer = run(LOADING.load(save(tmp_path, booster)), x=ROWS)
    np.testing.assert_array_equal(answer["prediction"], booster.predict(ROWS))


def test_categories_come_as_their_codes(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 40, len(X))
    rows = np.stack([X[:, 0], codes], axis=1)
    data = lgb.Dataset(rows, codes % 3 == 0, categorical_feature=[1])
    booster = lgb.train({"objective": "binary", "verbose": -1, "min_data_per_group": 5}, data, 4)
    assert b"cat_threshold" in save(tmp_path, booster).read_bytes()
    answer = run(LOADING.load(tmp_path / "model.lgb"), x=rows)
    np.testing.assert_array_equal(answer["probability"], probabilities(booster, rows))


async def test_it_is_served(tmp_path: Path) -> None:
    booster = train(THREE, "multiclass", num_class=3)
    save(tmp_path / "loans" / "1", booster)
    answer = await served(tmp_path / "loans", {"runtime": "lightgbm"}, x=ROWS)
    np.testing.assert_allclose(answer["probability"], booster.predict(ROWS), rtol=1e-12)
