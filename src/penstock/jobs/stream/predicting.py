"""Predicting a group of records: waiting, trying again, and finding the one that is at fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from penstock.core.errors import LoadFailed, NotFound, NotReady, Overloaded, PenstockError
from penstock.jobs.stream.decode import Group
from penstock.jobs.stream.model import Prediction, StreamModel
from penstock.jobs.stream.retry import Patience, is_retryable

_NO_RECORDS_FAULT: Final = (NotFound, NotReady, Overloaded, LoadFailed)


class Part(NamedTuple):
    """Records that were predicted together."""

    group: Group
    prediction: Prediction

    def singles(self) -> Iterator[Part]:
        """A part for each record."""
        group, prediction = self
        row = answered = 0
        for position, count in zip(group.records, group.counts, strict=True):
            invalid = {
                number - row: why
                for number, why in prediction.invalid.items()
                if row <= number < row + count
            }
            end = answered + count - len(invalid)
            inputs = tuple(tensor.rows(row, row + count) for tensor in group.inputs)
            outputs = tuple(tensor.rows(answered, end) for tensor in prediction.outputs)
            alone = msgspec.structs.replace(prediction, outputs=outputs, invalid=invalid)
            yield Part(Group([position], [count], inputs), alone)
            row, answered = row + count, end


class Predicted(NamedTuple):
    """What became of a group.

    Attributes:
        parts: what was predicted.
        failed: the records the model fails on, by where they stand in the micro-batch, and how.
    """

    parts: list[Part]
    failed: dict[int, PenstockError]


class Predicting:
    """Predicts groups of records.

    Laws: each record is in one part, or failed; it fails only if the model failed on it alone.
    While no version answers, or its queue is full, it waits for as long as that takes.

    Args:
        model: what predicts.
        patience: tries again.
        max_attempts: how often records are tried whose worker dies or whose time runs out.
    """

    def __init__(self, model: StreamModel, patience: Patience, max_attempts: int) -> None:
        self._model = model
        self._patience = patience
        self._max_attempts = max_attempts

    async def predict(self, group: Group) -> Predicted:
        """Predict these records."""
        return await self._predict(group, self._max_attempts)

    async def _predict(self, group: Group, max_attempts: int) -> Predicted:
        try:
            prediction = await self._patience(
                "predict",
                lambda: self._model.predict(group.inputs),
                may_pass=_counted(max_attempts),
            )
        except PenstockError as err:
            if len(group.records) == 1:
                return Predicted([], {group.records[0]: err})
            attempts = 1 if max_attempts == 1 else 2  # they had all of theirs together
            first, second = await asyncio.gather(
                *(self._predict(half, attempts) for half in halves(group))
            )
            return Predicted(first.parts + second.parts, first.failed | second.failed)
        return Predicted([Part(group, prediction)], {})


def may_answer_later(error: BaseException) -> bool:
    """Whether it is no record's fault, and may pass."""
    return isinstance(error, _NO_RECORDS_FAULT)


def _counted(max_attempts: int) -> Callable[[BaseException], bool]:
    """Whether to try again: for ever where no record is at fault, else so many times."""
    tried = 0

    def may_pass(error: BaseException) -> bool:
        nonlocal tried
        if may_answer_later(error):
            return True
        tried += 1
        return is_retryable(error) and tried < max_attempts

    return may_pass


def halves(group: Group) -> tuple[Group, Group]:
    """The first records of a group and the others; it has two at least."""
    middle = len(group.records) // 2
    row = sum(group.counts[:middle])
    rows = row + sum(group.counts[middle:])
    return (
        Group(
            group.records[:middle],
            group.counts[:middle],
            tuple(tensor.rows(0, row) for tensor in group.inputs),
        ),
        Group(
            group.records[middle:],
            group.counts[middle:],
            tuple(tensor.rows(row, rows) for tensor in group.inputs),
        ),
    )
