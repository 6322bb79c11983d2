"""Who asks."""

from __future__ import annotations

import pytest

from penstock.server.control_api.actor import MAX_ACTOR_CHARS, actor_of, plain


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", "HTTP"),
        (b"   ", "HTTP"),
        (b"deploy-bot", "deploy-bot"),
        ("Zoë".encode(), "Zoë"),
        (b"a\x1b[31mred\r\nForged: yes", "a [31mred Forged: yes"),
        (b"\xff\xfe", "��"),
        (b"x" * 5000, "x" * MAX_ACTOR_CHARS),
        (b"controller", "user:controller"),
        (b" Supervisor\x00", "user:Supervisor"),
        (b"controllers", "controllers"),
    ],
)
def test_the_actor_is_one_clean_short_line(raw: bytes, name: str) -> None:
    assert actor_of({b"x-penstock-actor": raw}) == name


def test_nobody_says_who_asks() -> None:
    assert actor_of({}) == "HTTP"


def test_a_text_is_one_line() -> None:
    assert plain(" a\tb\n\n c ", 100) == "a b c"
