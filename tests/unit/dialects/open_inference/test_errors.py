"""Every error has an answer on both wires."""

import pytest

from penstock.core import errors
from penstock.core.errors import ErrorCode, PenstockError
from penstock.dialects.open_inference.errors import (
    GRPC_STATUS,
    HTTP_STATUS,
    error_body,
    grpc_status,
    http_status,
    retry_after,
)


def _tree(root: type[PenstockError]) -> list[type[PenstockError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def _make(kind: type[PenstockError]) -> PenstockError:
    return errors.InvalidInput(0, "why") if kind is errors.InvalidInput else kind("why")


@pytest.mark.parametrize("kind", _tree(PenstockError), ids=lambda kind: kind.__name__)
def test_each_class_of_the_tree_has_both_statuses(kind: type[PenstockError]) -> None:
    error = _make(kind)
    assert 400 <= http_status(error) < 600
    assert 1 <= grpc_status(error).code <= 16


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_code_has_both_statuses(code: ErrorCode) -> None:
    assert code in HTTP_STATUS
    assert code in GRPC_STATUS


def test_grpc_numbers_and_names_are_those_of_the_grpc_library() -> None:
    grpc = pytest.importorskip("grpc")
    known = {status.value[0]: status.name for status in grpc.StatusCode}
    for status in GRPC_STATUS.values():
        assert known[status.code] == status.name


@pytest.mark.parametrize(
    ("error", "http", "rpc"),
    [
        (errors.InvalidArgument("x"), 400, "INVALID_ARGUMENT"),
        (errors.NotFound("x"), 404, "NOT_FOUND"),
        (errors.NotReady("x"), 503, "UNAVAILABLE"),
        (errors.Overloaded("x"), 429, "UNAVAILABLE"),
        (errors.DeadlineExceeded("x"), 504, "DEADLINE_EXCEEDED"),
        (errors.Cancelled("x"), 499, "CANCELLED"),
        (errors.TooLarge("x"), 413, "RESOURCE_EXHAUSTED"),
        (errors.Unsupported("x"), 501, "UNIMPLEMENTED"),
        (errors.UnsupportedEncoding("x"), 415, "UNIMPLEMENTED"),
        (errors.FailedPrecondition("x"), 503, "UNAVAILABLE"),
        (errors.ModelFailed("x"), 500, "INTERNAL"),
        (errors.LoadFailed("x"), 500, "INTERNAL"),
        (errors.ConfigError("x"), 400, "INVALID_ARGUMENT"),
        (errors.Internal("x"), 500, "INTERNAL"),
    ],
)
def test_the_map(error: PenstockError, http: int, rpc: str) -> None:
    assert http_status(error) == http
    assert grpc_status(error).name == rpc


def test_the_body_is_one_key_and_survives_any_text() -> None:
    assert error_body('no "x"') == b'{"error":"no \\"x\\""}'
    assert error_body("\ud800") == b'{"error":"?"}'


def test_retry_after_is_whole_seconds_and_only_where_waiting_helps() -> None:
    assert retry_after(errors.Overloaded("x", retry_after_s=0.2)) == "1"
    assert retry_after(errors.Overloaded("x", retry_after_s=2.1)) == "3"
    assert retry_after(errors.Overloaded("x")) == "1"
    assert retry_after(errors.NotReady("x")) == "1"
    assert retry_after(errors.FailedPrecondition("x")) is None
    assert retry_after(errors.InvalidArgument("x")) is None
