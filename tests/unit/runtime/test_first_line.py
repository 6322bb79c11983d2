"""A foreign error in one line."""

import pytest

from penstock.runtime.first_line import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n one"), "one"),
        (ValueError(" "), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
