"""A SavedModel's folder, become a function of one of its signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.quiet_tensorflow import tf
from penstock.runtime.read_options import wrong_option


def load_saved_model(artifact: ArtifactRef, signature: str) -> tuple[Callable[..., Any], Any]:
    """The concrete function of a signature, and what must be kept for it to work.

    Raises:
        LoadFailed: the folder is incomplete or damaged, or has no signature of this name.
    """
    try:
        model = tf.saved_model.load(str(artifact.path.parent))
    except Exception as err:
        reason = " ".join(str(err).split())
        raise LoadFailed(
            f"{artifact.id} is no SavedModel TensorFlow {tf.__version__} can load: {reason}; copy "
            "the whole folder: saved_model.pb, variables/ and assets/",
            retryable=may_pass(err) and not isinstance(err, FileNotFoundError),
        ) from err
    names = sorted(model.signatures)
    if not names:
        raise LoadFailed(
            f"{artifact.id}: the SavedModel has no signatures: save it by model.export('OUT'), or "
            "tf.saved_model.save(model, 'OUT', signatures=model.function.get_concrete_function())"
        )
    if signature not in names:
        raise wrong_option(artifact, "signature", f"the model has {names}, got '{signature}'")
    return model.signatures[signature], model
