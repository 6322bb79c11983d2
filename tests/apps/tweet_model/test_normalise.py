"""What a tweet is rewritten to, by example and by law."""

# ruff: noqa: RUF001 (signs as people write them)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.tweet_model.committed import module

normalise = module("normalise").normalise


@pytest.mark.parametrize(
    ("tweet", "read"),
    [
        ("look https://t.example/aB1?x=2 !", "look http !"),
        ("www.example.org is down", "http is down"),
        ("@Anna_1 @bob hello @carol", "@user hello @user"),
        ("mail me at someone@example.org", "mail me at someone@example.org"),
        ("#LoveThis2Day and #plain_words", "# Love This 2 Day and # plain words"),
        ("soooo goooood!!!!!", "soo good!!"),
        ("well..... no", "well… no"),
        ("fine :) or :-( or <3", "fine smile or sad or love"),
        ("ok:)", "ok smile"),
        ("at 10:30 the ratio is 3:0", "at 10:30 the ratio is 3:0"),
        ("it is https://a.example/:) there", "it is http there"),
        ("so funny 😂😂", "so funny laughing laughing"),
        ("thumbs 👍🏽", "thumbs good"),
        ("a ❤️ for 🦄", "a love for unicorn face"),
        ("flag 🇬🇧 gone", "flag gone"),
        ("Rock &amp; Roll", "Rock & Roll"),
        ('he said \\""yes""', 'he said "yes"'),
        ("it’s “fine”", 'it\'s "fine"'),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        (" two \n lines\t ", "two lines"),
    ],
)
def test_examples(tweet: str, read: str) -> None:
    assert normalise(tweet) == read


@given(st.text())
def test_one_line_without_double_spaces(text: str) -> None:
    found = normalise(text)
    assert found == " ".join(found.split())


@given(st.text(alphabet="abcdefgh ", max_size=80))
def test_plain_words_stay(text: str) -> None:
    assert normalise(text) == _cut(" ".join(text.split()))


@given(st.from_regex(r"@[A-Za-z0-9_]{1,15}", fullmatch=True))
def test_no_name_gets_through(name: str) -> None:
    assert normalise(f"thanks {name} for all") == "thanks @user for all"


@given(st.from_regex(r"https?://[a-z0-9./?=&-]{3,30}", fullmatch=True))
def test_no_link_gets_through(link: str) -> None:
    assert normalise(f"see {link} now") == "see http now"


def _cut(text: str) -> str:
    """Letters three times or more to two, the plain way."""
    kept: list[str] = []
    for letter in text:
        if len(kept) < 2 or letter == " " or kept[-2:] != [letter, letter]:
            kept.append(letter)
    return "".join(kept)
