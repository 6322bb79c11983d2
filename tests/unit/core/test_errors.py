"""The error tree."""

import pytest

from penstock.core import errors
from penstock.core.errors import ErrorCode, InvalidArgument, InvalidInput, PenstockError


def tree(root: type[PenstockError]) -> list[type[PenstockError]]:
    below = [cls for cls in root.__subclasses__() if cls.__module__ == errors.__name__]
    return [root, *(leaf for cls in below for leaf in tree(cls))]


def test_each_code_has_its_class() -> None:
    direct = [cls for cls in tree(PenstockError)[1:] if cls is not InvalidInput]
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


def test_an_invalid_input_knows_its_item() -> None:
    err = InvalidInput(3, "too long")
    assert (err.index, err.reason, err.message, err.code) == (
        3,
        "too long",
        "too long",
        InvalidArgument.code,
    )
