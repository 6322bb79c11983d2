"""An estimator's file: skops, which is read and checked, or a pickle, which runs code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import joblib
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.runtime import missing_package
from penstock.runtime.tabular.engine_text import first_line

_SKOPS_ENDING = ".skops"


def load_estimator(
    artifact: ArtifactRef, *, trusted: Sequence[str] = (), trust_pickle: bool = False
) -> Any:
    """The fitted estimator in a file.

    Law: nothing of the file runs unless the manifest trusts it.

    Args:
        artifact: a skops file by its ending ``.skops``; every other ending is a pickle.
        trusted: types in a skops file to trust beside those that skops does.
        trust_pickle: whether a pickle may be loaded.

    Raises:
        LoadFailed: the file is not trusted, is corrupt, or holds no fitted estimator.
    """
    if artifact.path.suffix.lower() == _SKOPS_ENDING:
        estimator = _load_skops(artifact, trusted)
    elif trust_pickle:
        estimator = _load_pickle(artifact)
    else:
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is a pickle, and loading one runs whatever code "
            "is in it, as this server: nothing of it was run. Save the model with "
            "skops.io.dump(model, 'model.skops') instead; or, if you made this file yourself, say "
            "runtime_options: {trust_pickle: true} in its model.yaml"
        )
    _check(artifact, estimator)
    return estimator


def _load_skops(artifact: ArtifactRef, trusted: Sequence[str]) -> Any:
    try:
        import skops.io
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] != "skops":
            raise
        raise LoadFailed(f"{artifact.id}: {missing_package('sklearn', 'skops')}") from err
    try:
        found = skops.io.get_untrusted_types(file=artifact.path)
        unknown = [name for name in found if name not in trusted]
        if not unknown:
            return skops.io.load(artifact.path, trusted=found)
    except Exception as err:
        raise _unreadable(artifact, "skops", err) from err
    raise LoadFailed(
        f"{artifact.id}: {artifact.path.name} holds types that skops does not know to be safe: "
        f"{', '.join(unknown)}. If you trust them and whoever made the file, name them in its "
        f"model.yaml: runtime_options: {{trusted: [{', '.join(unknown)}]}}"
    )


def _load_pickle(artifact: ArtifactRef) -> Any:
    """What the manifest trusts; joblib reads plain pickles as well as its own."""
    try:
        return joblib.load(artifact.path)
    except Exception as err:
        raise _unreadable(artifact, "pickle", err) from err


def _check(artifact: ArtifactRef, estimator: Any) -> None:
    kind = type(estimator).__name__
    if isinstance(estimator, type) or not (
        hasattr(estimator, "predict") or hasattr(estimator, "transform")
    ):
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} holds a {kind}, which has neither predict nor "
            "transform: save one fitted estimator or pipeline"
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as err:
        raise LoadFailed(
            f"{artifact.id}: the {kind} in {artifact.path.name} is not fitted: call fit on it "
            "before it is saved"
        ) from err
    except TypeError:
        return  # another library's model, which knows its own state


def _unreadable(artifact: ArtifactRef, kind: str, err: Exception) -> LoadFailed:
    return LoadFailed(
        f"{artifact.id} is no model that {kind} can load: {type(err).__name__}: {first_line(err)}. "
        "Save it again with the versions of scikit-learn and of its own packages that are "
        "installed here, and copy it whole",
        retryable=may_pass(err),
    )
