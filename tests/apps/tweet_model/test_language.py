"""What is refused, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.tweet_model.committed import module

language = module("language")
normalise = module("normalise").normalise


def refusal(text: str) -> str | None:
    reason: str | None = language.refusal_as_written(text)
    return reason or language.refusal_as_read(normalise(text))


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0"])
def test_empty(text: str) -> None:
    assert refusal(text) == "the text is empty: there is no opinion to read"


def test_too_long_says_how_long_and_the_limit() -> None:
    assert refusal("word " * 100) is None
    reason = refusal("word " * 101)
    assert reason is not None
    assert "505 characters, the limit is 500" in reason


@pytest.mark.parametrize(
    "text", ["@bob", "https://example.org", "@a @b http://x.y !!!", "10", "?!"]
)
def test_nothing_but_links_names_and_marks(text: str) -> None:
    assert "no words" in str(refusal(text))


@pytest.mark.parametrize(
    "text", ["今日はとても楽しかった", "Сегодня хороший день", "اليوم جميل @bob"]
)
def test_other_scripts(text: str) -> None:
    assert "not in Latin letters" in str(refusal(text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Spanish", "Hoy es un día muy bonito para salir con mi familia"),
        ("French", "Je ne sais pas pourquoi il est en retard"),
        ("German", "Das ist heute nicht mein Tag, und ich bin müde"),
        ("Portuguese", "Eu não sei o que fazer hoje, estou muito cansado"),
        ("Italian", "Oggi sono molto felice per questo concerto"),
        ("Dutch", "Ik heb vandaag geen zin om naar het werk te gaan"),
        ("Indonesian", "aku tidak bisa tidur lagi malam ini"),
        ("Turkish", "Bugün çok güzel bir gün değil mi"),
    ],
)
def test_other_languages_are_named(name: str, text: str) -> None:
    assert refusal(text) == f"the text seems to be {name}: only English tweets can be judged"


@pytest.mark.parametrize(
    "text",
    [
        "😂😂",
        ":)",
        "lit 🔥",
        "I love コンサート",
        "Café society at the Champs Élysées tonight",
        "Die Hard is on in the den",
        "No, la la land was not for me",
        "Real Madrid vs Man United",
    ],
)
def test_english_pictures_and_borrowed_words_are_judged(text: str) -> None:
    assert refusal(text) is None


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    reason = refusal(text)
    assert reason is None or reason.startswith("the text ")
