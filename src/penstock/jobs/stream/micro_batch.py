"""MicroBatches: what records come to: results, dead letters or nothing. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from penstock.core.errors import ModelFailed, PenstockError
from penstock.core.signature import ModelSignature
from penstock.jobs.stream.columns import Row
from penstock.jobs.stream.decode import Decoded, Decoder
from penstock.jobs.stream.encode import Answerer, Encoder
from penstock.jobs.stream.model import StreamModel
from penstock.jobs.stream.predicting import Part, Predicting, may_answer_later
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.retry import Patience

_Outcome: TypeAlias = "Produced | PenstockError | None"


class Effects(msgspec.Struct, frozen=True):
    """What shall become of a micro-batch, in the order of its records.

    Attributes:
        results: what is sent.
        rejected: the records that cannot be predicted, and why.
        num_dropped: records for which a user's own function sends nothing.
    """

    results: list[Produced]
    rejected: list[tuple[Record, PenstockError]]
    num_dropped: int


class MicroBatches:
    """Decodes, predicts and encodes.

    Law: each record has one outcome, which no other record of its micro-batch can change.

    Args:
        model: what predicts.
        decoder: reads.
        encoder: writes.
        patience: tries again.
        max_attempts: how often a record is tried, what was delivered before included.
    """

    def __init__(
        self,
        model: StreamModel,
        decoder: Decoder,
        encoder: Encoder,
        patience: Patience,
        max_attempts: int,
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._encoder = encoder
        self._patience = patience
        self._max_attempts = max_attempts
        self._predicting = Predicting(model, patience, max_attempts)

    async def effects(self, records: Sequence[Record]) -> Effects:
        """Work out what becomes of these records.

        Raises:
            ConfigError: the columns do not fit the model.
        """
        outcomes: dict[int, _Outcome] = {}
        fresh: list[int] = []
        for position, record in enumerate(records):
            if record.deliveries >= self._max_attempts:
                outcomes[position] = _too_often(record)
            else:
                fresh.append(position)
        if fresh:
            found = await self._predicted([records[position] for position in fresh])
            outcomes |= {fresh[number]: outcome for number, outcome in found.items()}
        return _effects(records, outcomes)

    async def _predicted(self, records: Sequence[Record]) -> dict[int, _Outcome]:
        signature = await self._patience("predict", self._signature, may_pass=may_answer_later)
        decoded = self._decoder.decode(records, signature)
        outcomes: dict[int, _Outcome] = dict(decoded.bad)
        groups = decoded.groups
        if len(groups) == 1:
            all_predicted = [await self._predicting.predict(groups[0])]
        else:
            all_predicted = await asyncio.gather(*map(self._predicting.predict, groups))
        for predicted in all_predicted:
            outcomes |= predicted.failed
            for part in predicted.parts:
                outcomes |= self._encoded(records, decoded, part, signature)
        return outcomes

    async def _signature(self) -> ModelSignature:
        return self._model.signature()

    def _encoded(
        self,
        records: Sequence[Record],
        decoded: Decoded,
        part: Part,
        signature: ModelSignature,
    ) -> dict[int, _Outcome]:
        """The outcome of each record that was predicted together with others."""
        group, prediction = part
        who = Answerer(self._model.name, prediction.version, prediction.variant)
        came = [row for position in group.records for row in _listed(decoded.rows[position])]
        invalid = prediction.invalid
        valid = [row for number, row in enumerate(came) if number not in invalid]
        outcomes: dict[int, _Outcome] = {}
        try:
            answers = iter(self._encoder.answers(prediction.outputs, signature, valid))
        except PenstockError as err:
            if len(group.records) == 1:
                return {group.records[0]: err}
            return self._encoded_one_by_one(records, decoded, part, signature)
        row = 0
        for position, count in zip(group.records, group.counts, strict=True):
            wrong = [number for number in range(row, row + count) if number in invalid]
            mine = [next(answers) for _ in range(count - len(wrong))]
            if wrong:
                outcomes[position] = invalid[wrong[0]]
            else:
                many = isinstance(decoded.rows[position], list)
                outcomes[position] = self._produced(
                    records[position], mine if many else mine[0], who
                )
            row += count
        return outcomes

    def _encoded_one_by_one(
        self,
        records: Sequence[Record],
        decoded: Decoded,
        part: Part,
        signature: ModelSignature,
    ) -> dict[int, _Outcome]:
        """As ``_encoded``, for a part in which the answer of one record cannot be written."""
        outcomes: dict[int, _Outcome] = {}
        for single in part.singles():
            outcomes |= self._encoded(records, decoded, single, signature)
        return outcomes

    def _produced(
        self, record: Record, answer: Row | list[Row], who: Answerer
    ) -> Produced | PenstockError | None:
        try:
            return self._encoder.produced(record, answer, who)
        except PenstockError as err:
            return err


def _listed(rows: Row | list[Row] | None) -> list[Row]:
    if rows is None:
        return []
    return rows if isinstance(rows, list) else [rows]


def _too_often(record: Record) -> ModelFailed:
    return ModelFailed(
        f"it was delivered {record.deliveries} times before and never settled: whoever had it "
        "died, or gave it back"
    )


def _effects(records: Sequence[Record], outcomes: dict[int, _Outcome]) -> Effects:
    effects = Effects([], [], 0)
    dropped = 0
    for position, record in enumerate(records):
        outcome = outcomes[position]
        if outcome is None:
            dropped += 1
        elif isinstance(outcome, PenstockError):
            effects.rejected.append((record, outcome))
        else:
            effects.results.append(outcome)
    return msgspec.structs.replace(effects, num_dropped=dropped)
