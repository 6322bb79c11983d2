"""The error tree."""

from typing import Any

import numpy as np
import pytest

from penstock.core import errors
from penstock.core.errors import (
    ErrorCode,
    InvalidArgument,
    InvalidInput,
    JobFailed,
    JobInputError,
    JobOutputError,
    LoadFailed,
    MalformedAnswer,
    ModelCrashed,
    NotReady,
    PenstockError,
    StoreError,
    StreamError,
    may_pass,
)

KINDS = (
    *(InvalidInput, StoreError, MalformedAnswer, ModelCrashed),
    *(JobFailed, JobInputError, JobOutputError, StreamError),
)
"""Classes that share their parent's code."""


def tree(root: type[PenstockError]) -> list[type[PenstockError]]:
    below = [cls for cls in root.__subclasses__() if cls.__module__ == errors.__name__]
    return [root, *(leaf for cls in below for leaf in tree(cls))]


def test_each_code_has_its_class() -> None:
    direct = [cls for cls in tree(PenstockError)[1:] if cls not in KINDS]
    assert {cls.code for cls in direct} == set(ErrorCode)
    assert len(direct) == len(ErrorCode)
    assert {cls.code for cls in direct if cls.retryable} == {
        ErrorCode.NOT_READY,
        ErrorCode.OVERLOADED,
        ErrorCode.DEADLINE_EXCEEDED,
    }


@pytest.mark.parametrize("cls", [c for c in tree(PenstockError) if c is not InvalidInput])
def test_an_error_holds_its_text(cls: type[PenstockError]) -> None:
    err = cls("why", retry_after_s=2)
    assert (str(err), err.message, err.retry_after_s) == ("why", "why", 2)
    assert cls("why").retry_after_s is None
    assert cls.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("index", ["row-a", None, 1.5, [0]])
def test_the_index_of_an_invalid_input_is_a_whole_number(index: Any) -> None:
    with pytest.raises(TypeError, match="expected the item's position in the batch, got"):
        InvalidInput(index, "negative")


def test_the_index_of_an_invalid_input_may_come_from_numpy() -> None:
    assert InvalidInput(np.int64(3), "negative").index == 3  # type: ignore[arg-type]


def test_an_invalid_input_knows_its_item() -> None:
    err = InvalidInput(3, "too long")
    assert (err.index, err.reason, err.message, err.code) == (
        3,
        "too long",
        "too long",
        InvalidArgument.code,
    )


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LoadFailed("corrupt"), False),
        (LoadFailed("no memory", retryable=True), True),
        (NotReady("not yet"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(5, "Input/output error"), True),
        (MemoryError(), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (ImportError("no module"), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass(error: BaseException, *, passes: bool) -> None:
    assert may_pass(error) is passes
