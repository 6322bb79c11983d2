"""Errors by the names of their classes."""

from __future__ import annotations

import pytest

from penstock.core.error_names import error_class, named_error
from penstock.core.errors import ConfigError, Internal, LoadFailed


@pytest.mark.parametrize("name", ["", "ErrorCode", "enum", "ZeroDivisionError", "__name__"])
def test_what_is_no_error_of_ours(name: str) -> None:
    assert error_class(name) is None
    assert type(named_error(name, "text", Internal)) is Internal


def test_an_error_by_its_name() -> None:
    assert error_class("ConfigError") is ConfigError
    error = named_error("ConfigError", "text", Internal)
    assert type(error) is ConfigError
    assert error.message == "text"


def test_an_error_of_one_item_is_no_error_of_all() -> None:
    assert type(named_error("InvalidInput", "text", LoadFailed)) is LoadFailed
