"""What users import. A change here is a change of a promise: tell it in CHANGELOG.md."""

from __future__ import annotations

import inspect

import penstock


def test_the_public_names() -> None:
    assert penstock.__all__ == [
        "BatchJob",
        "InvalidInput",
        "Model",
        "ModelClient",
        "ModelContext",
        "Models",
        "PenstockError",
        "RayDataPredictor",
        "RolloutClient",
        "Rows",
        "SparkPredictor",
        "beam_model_handler",
        "serving",
    ]
    assert all(hasattr(penstock, name) for name in penstock.__all__)


def test_what_a_model_may_override() -> None:
    own = {name for name in vars(penstock.Model) if not name.startswith("_")}
    assert own == {"inline_safe", "memory_bytes", "load", "close"}


def test_what_a_model_is_given() -> None:
    fields = list(inspect.signature(penstock.ModelContext).parameters)
    assert fields == ["name", "version", "path", "device", "client", "options"]


def test_how_a_model_refuses_one_item() -> None:
    error = penstock.InvalidInput(3, "why")
    assert (error.index, error.reason, str(error)) == (3, "why", "why")
    assert isinstance(error, penstock.PenstockError)
