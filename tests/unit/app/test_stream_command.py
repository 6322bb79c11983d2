"""``penstock stream``: wrong words on the command line."""

from __future__ import annotations

import pytest

from tests.unit.app.shell import Shell


@pytest.mark.parametrize(
    ("option", "known"), [("--log-level", "warning"), ("--log-format", "json")]
)
def test_a_word_that_is_not_known_is_wrong_usage(shell: Shell, option: str, known: str) -> None:
    ran = shell("stream", "run", "stream.yaml", option, "loud")
    assert (ran.code, ran.out) == (2, "")
    assert f"Invalid value for '{option}': 'loud' is not one of" in ran.err
    assert f"'{known}'" in ran.err
