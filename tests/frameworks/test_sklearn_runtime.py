"""The ``sklearn`` runtime beside scikit-learn's own predictions."""

import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.errors import InvalidArgument, InvalidInput
from penstock.core.tensor import object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.tabular import Loading, run, served, specs

sklearn = pytest.importorskip("sklearn")
skops_io = pytest.importorskip("skops.io")
joblib = pytest.importorskip("joblib")
pandas = pytest.importorskip("pandas")

from sklearn import (  # noqa: E402  # needs the imports above
    cluster,
    compose,
    decomposition,
    ensemble,
    impute,
    linear_model,
    model_selection,
    multioutput,
    pipeline,
    preprocessing,
    svm,
)
from sklearn.feature_extraction import text  # noqa: E402  # as above

from penstock.runtime.sklearn_runtime import SklearnRuntime  # noqa: E402  # as above
from tests.frameworks.sklearn_models import (  # noqa: E402  # as above
    BINARY,
    NAMES,
    RANDOM,
    ROWS,
    THREE,
    X,
    classifier,
    save,
)

LOADING = Loading(SklearnRuntime(), "sklearn")
FRAME = pandas.DataFrame(
    {
        "age": X[:, 0],
        "unused": X[:, 1],
        "city": RANDOM.choice(["Århus", "Bonn"], 90),
        "floor": RANDOM.integers(1, 4, 90),
        "note": RANDOM.choice(["good day", "bad night"], 90),
        "is_new": RANDOM.choice([True, False], 90),
    }
)
_TRUST = {"trust_pickle": True}


def by_columns(**encoder: Any) -> Any:
    columns = compose.ColumnTransformer(
        [
            ("scale", preprocessing.StandardScaler(), ["age"]),
            ("encode", preprocessing.OneHotEncoder(**encoder), ["city", "floor", "is_new"]),
            ("words", text.CountVectorizer(), "note"),
        ]
    )
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression())
    return model.fit(FRAME, np.where(FRAME.age > 0, "yes", "no"))


def frame_inputs(rows: int = 7) -> dict[str, Any]:
    def as_bytes(name: str) -> Any:
        return object_array([item.encode() for item in FRAME[name][:rows].tolist()])

    numbers = {name: FRAME[name][:rows].to_numpy() for name in ("age", "floor", "is_new")}
    return numbers | {"city": as_bytes("city"), "note": as_bytes("note")}


class TestSklearnRuntime(RuntimeContractCore):
    runtime = SklearnRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder, classifier()), "sklearn")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.skops"
        path.write_bytes(b"this is no archive")
        return artifact(path, "sklearn")


class TestTrustedPickle(TestSklearnRuntime):
    def example(self, folder: Path) -> ArtifactRef:
        path = save(folder, ensemble.RandomForestClassifier(5).fit(X, THREE), "model.pkl")
        return artifact(path, "sklearn", runtime_options=_TRUST)

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.pkl"
        path.write_bytes(pickle.dumps(classifier())[:-9])
        return artifact(path, "sklearn", runtime_options=_TRUST)


def test_a_classifier(tmp_path: Path) -> None:
    model = classifier()
    executable = LOADING.load(save(tmp_path, model))
    assert specs(executable) == {
        "x": ("FP64", (-1, 4)),
        "prediction": ("INT64", (-1,)),
        "probability": ("FP64", (-1, 2)),
    }
    assert executable.signature.output("probability").labels == ("0", "1")
    assert executable.inline_safe
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["prediction"], model.predict(ROWS))
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(ROWS))
    assert run(executable, x=ROWS[:0])["probability"].shape == (0, 2)


def test_class_names_are_text(tmp_path: Path) -> None:
    model = classifier(THREE)
    options = {"outputs": ["margin", "prediction"]}
    executable = LOADING.load(save(tmp_path, model), runtime_options=options)
    assert executable.signature.output("margin").labels == tuple(NAMES)
    answer = run(executable, x=ROWS)
    assert list(answer) == ["margin", "prediction"]
    assert answer["prediction"].tolist() == [s.encode() for s in model.predict(ROWS).tolist()]
    np.testing.assert_array_equal(answer["margin"], model.decision_function(ROWS))


MODELS: dict[str, tuple[Any, dict[str, str]]] = {
    "a regressor": (linear_model.Ridge().fit(X, X[:, 0]), {"prediction": "predict"}),
    "several targets": (linear_model.Ridge().fit(X, X[:, :2]), {"prediction": "predict"}),
    "margins only": (
        svm.LinearSVC().fit(X, BINARY),
        {"prediction": "predict", "margin": "decision_function"},
    ),
    "clusters": (cluster.KMeans(3, n_init=1, random_state=0).fit(X), {"prediction": "predict"}),
    "outliers": (
        ensemble.IsolationForest(n_estimators=5, random_state=0).fit(X),
        {"prediction": "predict", "margin": "decision_function"},
    ),
    "a transformer": (decomposition.PCA(2).fit(X), {"transform": "transform"}),
    "several class targets": (
        multioutput.MultiOutputClassifier(linear_model.LogisticRegression()).fit(
            X, np.stack([BINARY, 1 - BINARY], axis=1)
        ),
        {"prediction": "predict"},
    ),
    "a search": (
        model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [1]}, cv=2).fit(
            X, BINARY
        ),
        {"prediction": "predict", "probability": "predict_proba"},
    ),
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_each_kind_of_estimator(tmp_path: Path, kind: str) -> None:
    model, methods = MODELS[kind]
    path = save(tmp_path, model, "model.joblib")
    executable = LOADING.load(path, runtime_options=_TRUST)
    answer = run(executable, x=ROWS)
    assert list(answer) == list(methods)
    for name, method in methods.items():
        expected = getattr(model, method)(ROWS)
        np.testing.assert_allclose(answer[name], expected, rtol=1e-12)
        assert specs(executable)[name][1] == (-1, *expected.shape[1:])


def test_a_sparse_answer_is_made_dense(tmp_path: Path) -> None:
    model = text.TfidfVectorizer().fit(["good day", "bad night"])
    options = {"trusted": skops_io.get_untrusted_types(data=skops_io.dumps(model))}
    executable = LOADING.load(save(tmp_path, model), runtime_options=options)
    answer = run(executable, text=object_array([b"good night"]))
    np.testing.assert_array_equal(answer["transform"], model.transform(["good night"]).toarray())


def test_a_text_pipeline_takes_texts(tmp_path: Path) -> None:
    texts = ["good day", "bad night", "good", "bad"] * 5
    model = pipeline.make_pipeline(text.TfidfVectorizer(), linear_model.LogisticRegression())
    model.fit(texts, ["up", "down"] * 10)
    options = {"trusted": skops_io.get_untrusted_types(data=skops_io.dumps(model))}
    executable = LOADING.load(save(tmp_path, model), runtime_options=options)
    assert specs(executable)["text"] == ("BYTES", (-1,))
    assert not executable.inline_safe
    given = ["good night", "", "bad day é"]
    answer = run(executable, text=object_array([t.encode() for t in given]))
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(given))
    with pytest.raises(InvalidInput, match="expected UTF-8 text") as caught:
        run(executable, text=object_array([b"good", b"\xff"]))
    assert caught.value.index == 1


def test_columns_that_are_picked_by_name_are_inputs(tmp_path: Path) -> None:
    model = by_columns()
    executable = LOADING.load(save(tmp_path, model, "model.pkl"), runtime_options=_TRUST)
    assert specs(executable) == {
        "age": ("FP64", (-1,)),
        "city": ("BYTES", (-1,)),
        "floor": ("INT64", (-1,)),
        "note": ("BYTES", (-1,)),
        "is_new": ("BOOL", (-1,)),
        "prediction": ("BYTES", (-1,)),
        "probability": ("FP64", (-1, 2)),
    }
    answer = run(executable, **frame_inputs())
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(FRAME[:7]))
    assert answer["prediction"].tolist() == [s.encode() for s in model.predict(FRAME[:7])]


def test_an_unknown_category_is_its_rows_fault_alone(tmp_path: Path) -> None:
    executable = LOADING.load(save(tmp_path, by_columns(), "model.pkl"), runtime_options=_TRUST)
    given = frame_inputs()
    given["city"][4] = b"Oslo"
    given["city"][5] = b"Rome"
    with pytest.raises(InvalidInput, match="Found unknown categories") as caught:
        run(executable, **given)
    assert caught.value.index == 4


def test_a_fault_of_no_single_row_is_the_models(tmp_path: Path) -> None:
    executable = LOADING.load(save(tmp_path, classifier()))

    def fail(features: Any) -> Any:
        if len(features) > 1:
            raise ValueError("too many")
        return np.zeros(1)

    executable._outputs._calls["prediction"] = fail
    with pytest.raises(ValueError, match="too many") as caught:
        run(executable, x=ROWS)
    assert not isinstance(caught.value, InvalidArgument)


def test_the_manifest_says_what_a_column_is(tmp_path: Path) -> None:
    fields = (
        TensorField(name="age", datatype="FP32", shape=(-1,)),
        TensorField(name="floor", datatype="INT32", shape=(-1,)),
    )
    executable = LOADING.load(
        save(tmp_path, by_columns(), "model.pkl"),
        runtime_options=_TRUST,
        signature=SignatureFields(inputs=fields),
    )
    assert specs(executable)["age"] == ("FP32", (-1,))
    given = frame_inputs()
    given |= {"age": np.float32(given["age"]), "floor": np.int32(given["floor"])}
    frame = FRAME[:7].assign(age=np.float32(FRAME.age[:7]))
    np.testing.assert_allclose(
        run(executable, **given)["probability"], by_columns().predict_proba(frame), rtol=1e-6
    )


def test_a_column_in_which_one_step_sees_text_is_text(tmp_path: Path) -> None:
    columns = compose.ColumnTransformer(
        [
            ("two", preprocessing.FunctionTransformer(_lengths), ["city"]),
            ("one", preprocessing.OneHotEncoder(), ["city"]),
        ]
    )
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(FRAME, BINARY)
    executable = LOADING.load(save(tmp_path, model, "model.pkl"), runtime_options=_TRUST)
    answer = run(executable, city=frame_inputs()["city"])
    np.testing.assert_array_equal(answer["probability"], model.predict_proba(FRAME[:7]))


def test_text_and_numbers_without_names_are_no_matrix(tmp_path: Path) -> None:
    data = np.array([["a", 1.5], ["b", 2.5]] * 5, object)
    columns = compose.ColumnTransformer([("e", preprocessing.OneHotEncoder(), [0])])
    model = columns.set_params(remainder="passthrough").fit(data)
    message = LOADING.refused(save(tmp_path, model, "model.pkl"), runtime_options=_TRUST)
    assert "fit it on a DataFrame with named columns" in message


def _lengths(column: Any) -> Any:
    return column.map(len)


def test_a_wrong_datatype_is_found_when_it_is_tried(tmp_path: Path) -> None:
    field = TensorField(name="note", datatype="FP64", shape=(-1,))
    message = LOADING.refused(
        save(tmp_path, by_columns(), "model.pkl"),
        runtime_options=_TRUST,
        signature=SignatureFields(inputs=(field,)),
    )
    assert "the estimator failed on an example row" in message
    assert "declare the inputs under 'signature' in model.yaml" in message


@pytest.mark.parametrize(
    "chosen",
    [slice(0, 2), [0, 1], [True, True, False], slice("a", "b"), ["a", "b"], [-3, 1]],
)
def test_however_columns_are_chosen(tmp_path: Path, chosen: Any) -> None:
    frame = pandas.DataFrame({"a": ["x", "y"] * 9, "b": ["u", "v", "w"] * 6, "c": range(18)})
    columns = compose.ColumnTransformer([("e", preprocessing.OneHotEncoder(), chosen)])
    model = columns.set_params(remainder="passthrough").fit(frame)
    path = save(tmp_path, model, "model.pkl")
    executable = LOADING.load(path, runtime_options=_TRUST)
    kinds = {s.name: str(s.dtype) for s in executable.signature.inputs}
    assert kinds == {"a": "BYTES", "b": "BYTES", "c": "FP64"}


def test_a_matrix_of_text(tmp_path: Path) -> None:
    data = np.array([["a", "b"], ["b", "a"]] * 5, object)
    encode = preprocessing.OrdinalEncoder()
    model = pipeline.make_pipeline(encode, linear_model.LogisticRegression())
    model.fit(data, [0, 1] * 5)
    path = save(tmp_path, model, "model.pkl")
    executable = LOADING.load(path, runtime_options=_TRUST)
    assert specs(executable)["x"] == ("BYTES", (-1, 2))
    given = object_array([b"a", b"b", b"b", b"a"]).reshape(2, 2)
    np.testing.assert_array_equal(
        run(executable, x=given)["probability"], model.predict_proba(data[:2])
    )


def test_missing_text_is_imputed_by_its_own_rules(tmp_path: Path) -> None:
    fill = impute.SimpleImputer(strategy="most_frequent")
    frame = FRAME[["city"]].astype(object)
    model = pipeline.make_pipeline(fill, preprocessing.OneHotEncoder()).fit(frame)
    path = save(tmp_path, model, "model.pkl")
    executable = LOADING.load(path, runtime_options=_TRUST)
    assert [(s.dtype, s.shape) for s in executable.signature.inputs] == [("BYTES", (-1, 1))]


def test_names_of_plain_features_are_told_and_nothing_is_warned(tmp_path: Path) -> None:
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = linear_model.LogisticRegression().fit(frame, BINARY)
    path = save(tmp_path, model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executable = LOADING.load(path)
        answer = run(executable, x=ROWS)
        columns = LOADING.load(path, runtime_options={"inputs": "columns"})
        by_name = run(columns, **{name: ROWS[:, i] for i, name in enumerate("abcd")})
    assert executable.signature.inputs[0].description == "features in this order: a, b, c, d"
    np.testing.assert_allclose(answer["probability"], model.predict_proba(frame[:7]), rtol=1e-12)
    np.testing.assert_allclose(by_name["probability"], answer["probability"], rtol=1e-12)


def test_columns_without_names(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, classifier()), runtime_options={"inputs": "columns"})
    assert "the estimator was fitted without column names" in message


def test_an_estimator_that_does_not_know_its_width(tmp_path: Path) -> None:
    path = save(tmp_path, preprocessing.FunctionTransformer(np.exp))
    message = LOADING.refused(path)
    assert "does not say how many features it takes" in message
    field = TensorField(name="values", datatype="FP32", shape=(-1, 3))
    executable = LOADING.load(path, signature=SignatureFields(inputs=(field,)))
    rows = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(executable, values=rows)["transform"], np.exp(rows))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trust_pickles": True}, "trust_pickles: unknown field, did you mean 'trust_pickle'?"),
        ({"trust_pickle": "yes"}, "trust_pickle: expected true or false, got text 'yes'"),
        ({"outputs": "transform"}, "['prediction', 'probability', 'margin'], got 'transform'"),
        ({"outputs": ["margin", "margin"]}, "$.runtime_options.outputs: expected each output once"),
    ],
)
def test_wrong_options(tmp_path: Path, options: Any, said: str) -> None:
    assert said in LOADING.refused(save(tmp_path, classifier()), runtime_options=options)


def test_another_device(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, classifier()), instances=Instances(device="cuda"))
    assert "scikit-learn computes predictions on the CPU only" in message


@pytest.mark.parametrize(("threads", "expected"), [(0, 7), (1, 1), (3, 3)])
def test_every_fitted_part_computes_with_the_instances_threads(
    tmp_path: Path, threads: int, expected: int
) -> None:
    forest = ensemble.RandomForestClassifier(3, n_jobs=7)
    model = ensemble.VotingClassifier([("f", forest)], n_jobs=7).fit(X, BINARY)
    path = save(tmp_path, pipeline.make_pipeline(model), "model.pkl")
    executable = LOADING.load(
        path,
        runtime_options={"trust_pickle": True, "outputs": "prediction"},
        instances=Instances(threads_per_instance=threads),
    )
    voting = executable._outputs._calls["prediction"].__self__.steps[0][1]
    assert (voting.n_jobs, voting.estimators_[0].n_jobs) == (expected, expected)


def test_openmp_follows_the_thread_that_computes(tmp_path: Path) -> None:
    model = ensemble.HistGradientBoostingClassifier(max_iter=3).fit(X, BINARY)
    executable = LOADING.load(save(tmp_path, model, "model.pkl"), runtime_options=_TRUST)
    seen: list[int] = []

    def look() -> None:
        run(executable, x=ROWS)
        seen.extend(library.num_threads for library in executable._threads._libraries)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen
    assert set(seen) == {1}


async def test_it_is_served(tmp_path: Path) -> None:
    model = classifier(THREE)
    save(tmp_path / "colours" / "1", model)
    answer = await served(tmp_path / "colours", x=ROWS)
    np.testing.assert_allclose(answer["probability"], model.predict_proba(ROWS), rtol=1e-12)
    assert answer["prediction"].tolist() == [s.encode() for s in model.predict(ROWS).tolist()]


async def test_columns_are_served(tmp_path: Path) -> None:
    model = by_columns()
    save(tmp_path / "flats" / "1", model, "model.joblib")
    answer = await served(tmp_path / "flats", {"runtime_options": _TRUST}, **frame_inputs())
    np.testing.assert_allclose(answer["probability"], model.predict_proba(FRAME[:7]), rtol=1e-12)
