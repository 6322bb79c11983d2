"""Tokens' labels become entities."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.runtime.huggingface.entities import Entity, LabelledToken, each_token, join_tokens

TEXT = "Ada Lovelace met Babbage"
TOKENS = [
    LabelledToken("B-PER", 0.8, 0, 3),
    LabelledToken("I-PER", 0.6, 4, 12),
    LabelledToken("O", 0.9, 13, 16),
    LabelledToken("I-PER", 1.0, 17, 24),
]


def test_neighbours_of_one_label_are_one() -> None:
    first, second = join_tokens(TEXT, TOKENS, ["O"])
    assert first == Entity("Ada Lovelace", "PER", 0.7, 0, 12)
    assert second == Entity("Babbage", "PER", 1.0, 17, 24)


def test_b_begins_a_new_one_and_a_label_without_prefix_goes_on() -> None:
    twice = [LabelledToken("B-PER", 1, 0, 3), LabelledToken("B-PER", 1, 4, 12)]
    assert [e.text for e in join_tokens(TEXT, twice, [])] == ["Ada", "Lovelace"]
    plain = [LabelledToken("PER", 1, 0, 3), LabelledToken("PER", 1, 4, 12)]
    assert [e.text for e in join_tokens(TEXT, plain, [])] == ["Ada Lovelace"]


def test_each_token_keeps_its_label() -> None:
    assert [e.label for e in each_token(TEXT, TOKENS, ["O"])] == ["B-PER", "I-PER", "I-PER"]


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "I-B", "A"]), max_size=12))
def test_every_token_is_in_one_entity_in_order(labels: list[str]) -> None:
    text = "x" * len(labels)
    tokens = [LabelledToken(label, 0.5, i, i + 1) for i, label in enumerate(labels)]
    entities = join_tokens(text, tokens, [])
    assert "".join(e.text for e in entities) == text
    assert [e.start for e in entities[1:]] == [e.end for e in entities[:-1]]
    assert all(e.score == 0.5 for e in entities)
