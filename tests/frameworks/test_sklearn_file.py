"""What the ``sklearn`` runtime loads, and what it refuses to: skops files and pickles."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.runtime.runtime import find_runtime
from tests.frameworks.tabular import Loading, run

pytest.importorskip("sklearn")
skops_io = pytest.importorskip("skops.io")
pytest.importorskip("pandas")

import joblib  # noqa: E402  # as above
from sklearn import cluster, ensemble, linear_model, preprocessing  # noqa: E402  # as above

from penstock.runtime.sklearn_runtime import SklearnRuntime  # noqa: E402  # as above
from tests.frameworks.sklearn_models import BINARY, ROWS, X, classifier, save  # noqa: E402  # as above

LOADING = Loading(SklearnRuntime(), "sklearn")
_TRUST = {"trust_pickle": True}


def _lengths(column: Any) -> Any:
    return column.map(len)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib", "model.PKL"])
@pytest.mark.parametrize("options", [{}, {"trusted": ["posix.mkdir"]}, {"trust_pickle": False}])
def test_a_pickle_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, name: str, options: Any
) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    message = LOADING.refused(path, runtime_options=options)
    assert not (tmp_path / "owned").exists()
    assert message == (
        f"'m' version 1: {name} is a pickle, and loading one runs whatever code is in it, as "
        "this server: nothing of it was run. Save the model with skops.io.dump(model, "
        "'model.skops') instead; or, if you made this file yourself, say runtime_options: "
        "{trust_pickle: true} in its model.yaml"
    )
    LOADING.refused(path, runtime_options=_TRUST)
    assert (tmp_path / "owned").exists()


@pytest.fixture
def without_skops(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that has scikit-learn and no skops."""
    for name in [n for n in sys.modules if n.split(".")[0] == "skops"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [n for n in sys.modules if n.startswith("penstock.runtime.sklearn")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_skops")
def test_a_trusted_pickle_needs_no_skops(tmp_path: Path) -> None:
    estimator = classifier()
    joblib.dump(estimator, tmp_path / "model.joblib")
    loading = Loading(find_runtime("sklearn"), "sklearn")
    executable = loading.load(tmp_path / "model.joblib", runtime_options=_TRUST)
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["prediction"], estimator.predict(ROWS))


@pytest.mark.usefixtures("without_skops")
def test_a_skops_file_needs_skops_and_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"")
    loading = Loading(find_runtime("sklearn"), "sklearn")
    assert loading.refused(tmp_path / "model.skops") == (
        "'m' version 1: runtime 'sklearn' needs the package 'skops': "
        "pip install 'penstock[sklearn]'"
    )


def test_a_pickle_under_another_name_is_not_run_either(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    assert "is no model that skops can load" in LOADING.refused(path)
    assert not (tmp_path / "owned").exists()


def test_types_skops_does_not_know_are_listed_and_may_be_trusted(tmp_path: Path) -> None:
    tree = ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, BINARY)
    path = save(tmp_path, preprocessing.FunctionTransformer(_lengths).fit(X[:, :1]))
    name = f"{_lengths.__module__}._lengths"
    assert LOADING.refused(path) == (
        "'m' version 1: model.skops holds types that skops does not know to be safe: "
        f"{name}. If you trust them and whoever made the file, name them in its model.yaml: "
        f"runtime_options: {{trusted: [{name}]}}"
    )
    assert name in LOADING.refused(path, runtime_options={"trusted": ["sklearn.tree.Tree"]})
    path = save(tmp_path, tree)
    found = skops_io.get_untrusted_types(file=path)
    assert found
    executable = LOADING.load(path, runtime_options={"trusted": [*found, "some.other.Type"]})
    answer = run(executable, x=ROWS)
    np.testing.assert_array_equal(answer["probability"], tree.predict_proba(ROWS))


@pytest.mark.parametrize("kept_bytes", [0, 9, 500, -30])
def test_a_cut_skops_file(tmp_path: Path, kept_bytes: int) -> None:
    path = save(tmp_path, classifier())
    path.write_bytes(path.read_bytes()[:kept_bytes])
    message = LOADING.refused(path)
    assert "is no model that skops can load" in message
    assert "copy it whole" in message


@pytest.mark.parametrize("thing", [{"a": 1}, [1], linear_model.LogisticRegression])
def test_a_file_that_holds_no_estimator(tmp_path: Path, thing: Any) -> None:
    path = save(tmp_path, thing, "model.pkl")
    message = LOADING.refused(path, runtime_options=_TRUST)
    assert "which has neither predict nor transform" in message


def test_an_estimator_that_is_not_fitted(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, linear_model.LogisticRegression()))
    assert "the LogisticRegression in model.skops is not fitted" in message


def test_an_estimator_that_answers_no_new_rows(tmp_path: Path) -> None:
    message = LOADING.refused(save(tmp_path, cluster.DBSCAN().fit(X)))
    assert "a DBSCAN, which has neither predict nor transform" in message
