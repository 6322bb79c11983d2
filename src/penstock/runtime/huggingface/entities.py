"""Entities: the parts of a text that carry a label, from the labels of its tokens. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec


class Entity(msgspec.Struct, frozen=True):
    """A part of a text.

    Attributes:
        text: the part, ``whole[start:end]``.
        label: what it is.
        score: the probability, 0 to 1; the mean of its tokens'.
        start, end: its place in the text, in characters (Unicode code points), end excluded.
    """

    text: str
    label: str
    score: float
    start: int
    end: int


class LabelledToken(NamedTuple):
    """A token, its most probable label and that label's probability, and its place in the text."""

    label: str
    score: float
    start: int
    end: int


def join_tokens(text: str, tokens: Sequence[LabelledToken], ignored: Sequence[str]) -> list[Entity]:
    """Entities of neighbouring tokens of one label; ``B-`` begins a new one, ``I-`` goes on.

    Source: the transformers library, ``aggregation_strategy="simple"``.

    Args:
        text: the whole text.
        tokens: its tokens in order, special ones left out.
        ignored: labels, without ``B-`` and ``I-``, that are no entities.
    """
    groups: list[list[LabelledToken]] = []
    for token in tokens:
        begins, tag = _split(token.label)
        if groups and not begins and tag == _split(groups[-1][-1].label)[1]:
            groups[-1].append(token)
        else:
            groups.append([token])
    return [entity for entity in _entities(text, groups) if entity.label not in ignored]


def each_token(text: str, tokens: Sequence[LabelledToken], ignored: Sequence[str]) -> list[Entity]:
    """An entity for each token, under its label as it is, ``B-`` and ``I-`` included."""
    return [
        Entity(text[t.start : t.end], t.label, t.score, t.start, t.end)
        for t in tokens
        if t.label not in ignored
    ]


def _entities(text: str, groups: Sequence[Sequence[LabelledToken]]) -> Iterator[Entity]:
    for group in groups:
        start, end = group[0].start, group[-1].end
        score = sum(token.score for token in group) / len(group)
        yield Entity(text[start:end], group[0].label.split("-", 1)[-1], score, start, end)


def _split(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and its name; one without a prefix goes on."""
    if label.startswith(("B-", "I-")):
        return label[0] == "B", label[2:]
    return False, label
