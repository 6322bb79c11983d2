"""A Keras 3 file, become a function of its inputs' names."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from typing import Any

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.quiet_tensorflow import keras, tf

_EXPORT = "load it where it was made and save it by model.export('OUT')"
_SHOWN_CHARACTERS = 300


def load_keras(artifact: ArtifactRef, *, trust_lambdas: bool) -> tuple[Callable[..., Any], Any]:
    """The model's forward pass as a concrete function, and what must be kept for it to work.

    Args:
        artifact: the model.
        trust_lambdas: whether Python code inside the file may run.

    Raises:
        LoadFailed: the file is damaged, holds code or a class of the user's, or says no inputs.
    """
    if keras.backend.backend() != "tensorflow":
        raise LoadFailed(
            f"{artifact.id}: this process's Keras computes on {keras.backend.backend()}: set "
            "KERAS_BACKEND=tensorflow before it starts"
        )
    model = _load(artifact, trust_lambdas)
    try:
        inputs = model.inputs
    except AttributeError:  # a Sequential that was never called
        inputs = None
    if not inputs:
        raise LoadFailed(f"{artifact.id}: the model says no shapes of its inputs: {_EXPORT}")
    return _function(model), model


def _load(artifact: ArtifactRef, trust_lambdas: bool) -> Any:
    if not zipfile.is_zipfile(artifact.path):
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is cut off, or no file of Keras 3, or not there: "
            "save it by model.save('model.keras') and copy it again"
        )
    try:
        return keras.saving.load_model(artifact.path, compile=False, safe_mode=not trust_lambdas)
    except Exception as err:
        raise _explained(artifact, err, trust_lambdas) from err


def _explained(artifact: ArtifactRef, error: Exception, trust_lambdas: bool) -> LoadFailed:
    """What keeps Keras from loading a file, and what to do."""
    file = f"{artifact.id}: {artifact.path.name}"
    reason = " ".join(str(error).split())
    if "Lambda" in reason and not trust_lambdas:
        return LoadFailed(
            f"{file} is refused: a Lambda layer in it is Python code, which would run here. Save "
            "the model without it, or, where you trust who made it, say "
            "runtime_options.trust_lambdas: true"
        )
    if foreign := re.search(r"Could not locate class '(\w+)'", reason):
        return LoadFailed(f"{file} holds the class '{foreign[1]}', which is not Keras's: {_EXPORT}")
    return LoadFailed(
        f"{file} is no model Keras {keras.__version__} can load: {reason[:_SHOWN_CHARACTERS]}",
        retryable=may_pass(error),
    )


def _function(model: Any) -> Callable[..., Any]:
    """Traced once for any number of rows; answers a dict."""
    is_sequence = isinstance(model, keras.Sequential)
    structure = model.inputs[0] if is_sequence else model.input
    outputs = [model.layers[-1].name] if is_sequence else model.output_names
    leaves = keras.tree.flatten(structure)

    def forward(**tensors: Any) -> dict[str, Any]:
        given = keras.tree.pack_sequence_as(structure, [tensors[leaf.name] for leaf in leaves])
        answer = model(given, training=False)
        if isinstance(answer, dict):
            return dict(answer)
        return dict(zip(outputs, keras.tree.flatten(answer), strict=True))

    specs = {leaf.name: tf.TensorSpec(leaf.shape, leaf.dtype, leaf.name) for leaf in leaves}
    function: Callable[..., Any] = tf.function(forward).get_concrete_function(**specs)
    return function
