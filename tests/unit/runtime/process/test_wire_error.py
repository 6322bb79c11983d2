"""Errors keep what they say across the channel."""

import pytest

from penstock.core.errors import (
    InvalidInput,
    LoadFailed,
    MalformedAnswer,
    ModelFailed,
    NotReady,
    Overloaded,
    PenstockError,
)
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_in, error_out


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput(3, "too long"),
        LoadFailed("it is torn", retryable=True),
        ModelFailed("no", is_reported=True),
        MalformedAnswer("wrong rows"),
        NotReady("later", retry_after_s=2.5),
        Overloaded("full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_there_and_back(error: PenstockError) -> None:
    came = error_in(error_out(error))
    assert type(came) is type(error)
    assert vars(came) == vars(error)
    assert came.args == error.args


@pytest.mark.parametrize("kind", ["OSError", "ErrorCode", "enum", ""])
def test_what_is_no_error_of_ours_is_the_models(kind: str) -> None:
    came = error_in(WireError(kind, "odd"))
    assert type(came) is ModelFailed
    assert came.message == "odd"
