"""Ledger: counts each tweet once, per author, hour and day, in the store and on the board.

In the store: ``e:<model>:<author>:<tweet id>`` is the line of a counted tweet, written with its
counters or not at all; ``a:<model>:<author>:`` are an author's counters; ``w:<model>:<author>:``
holds the author's handle. None of them expires. ``rebuild`` makes the counters again from the
lines and the stored predictions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

from apps.tweet_sentiment.board import DAY_S, HOUR_S, SUM, Board
from apps.tweet_sentiment.record import Line, Record, decode, decode_line, encode, line_of
from penstock.stores.backend import Backend, Increment, Item
from penstock.stores.prediction_store import PredictionStore, prediction_prefix

_PAGE = 64
_MEASURES = ("negative", "neutral", "positive", "score_e4")


class Ledger:
    """Counts tweets.

    Args:
        store: never expires what it keeps.
        model: whose predictions are counted.

    Attributes:
        board: the counts, to be read.

    Concurrency: one event loop's thread.
    """

    def __init__(self, store: PredictionStore, model: str) -> None:
        self.board = Board()
        self._store = store
        self._backend: Backend = store.backend
        self._model = model.replace("%", "%25").replace(":", "%3A")
        self._predictions = prediction_prefix(model)
        self._late: list[Line] | None = None

    async def count(self, records: Sequence[Record]) -> None:
        """Count tweets that were just predicted; those that were counted before, not again."""
        by_key = {self._line_key(record): record for record in records}
        known = await self._store.get(list(by_key))
        new = [pair for pair, line in zip(by_key.items(), known, strict=True) if line is None]
        self._store.put([item for _, record in new for item in self.items(record)])
        for _, record in new:
            self._show(line_of(record))

    async def load(self) -> None:
        """Make the board from the store's counters; what is counted meanwhile is not lost.

        Raises:
            StoreError: the store cannot be read; the board stays as it was.
        """
        self._late = []
        try:
            board = Board()
            async for authors in self._authors():
                hashes = await self._backend.counters([self._counters(a) for a in authors])
                for author, fields in zip(authors, hashes, strict=True):
                    _put_on(board, author, fields)
            for line in self._late:
                board.add(line)
            self.board = board
        finally:
            self._late = None

    async def forget(self, author: str) -> int:
        """Forget an author: predictions, lines, counters; how many predictions there were.

        Raises:
            StoreError: the store failed on the way; asking again goes on.
        """
        name, predictions = author.lower(), 0
        async for page in self._backend.scan(self._predictions):
            records = ((item.key, decode(item.value)) for item in page)
            keys = [key for key, record in records if record and record.author.lower() == name]
            predictions += await self._backend.delete(keys) if keys else 0
        for kind in "eaw":
            await self._backend.clear(f"{kind}:{self._model}:{name}:")
        self.board.forget(author)
        return predictions

    async def rebuild(self) -> int:
        """Correct the counters by the lines and the stored predictions; how many tweets there are.

        Only differences are written, so readers never see a half-made count. For when no service
        writes to the store: what is written meanwhile may be counted twice.

        Raises:
            StoreError: the store failed on the way; asking again goes on.
        """
        await self._complete()
        truth: dict[str, Counter[str]] = {}
        tweets = 0
        async for page in self._backend.scan(f"e:{self._model}:"):
            for line in filter(None, (decode_line(item.value) for item in page)):
                counter = truth.setdefault(line.author.lower(), Counter())
                counter.update(dict(_fields(line)))
                tweets += 1
        async for authors in self._authors():
            for author in authors:
                truth.setdefault(author.lower(), Counter())
        for author, counter in truth.items():
            await self._correct(author, counter)
        await self.load()
        return tweets

    async def _complete(self) -> None:
        """Write the lines and handles that stored predictions should have and have not."""
        async for page in self._backend.scan(self._predictions):
            found = [r for r in (decode(item.value) for item in page) if r and r.tweet_id]
            items = [self.items(record) for record in found]
            lines = [Item(line.key, line.value) for line, _ in items]
            await self._backend.set_many(lines, only_new=True)
            await self._backend.set_many([author for _, author in items], only_new=True)

    async def _correct(self, author: str, truth: Counter[str]) -> None:
        key = self._counters(author)
        [now] = await self._backend.counters([key])
        wrong = {f: truth[f] - now.get(f, 0) for f in truth.keys() | now.keys()}
        increments = [Increment(key, field, amount) for field, amount in wrong.items() if amount]
        if increments:
            await self._backend.increment(increments)

    async def _authors(self) -> AsyncIterator[list[str]]:
        async for page in self._backend.scan(f"w:{self._model}:", page=_PAGE):
            yield [item.value.decode(errors="replace") for item in page]

    def items(self, record: Record) -> tuple[Item, Item]:
        """What is written for a counted tweet: its line with its counters, and its author."""
        line = line_of(record)
        counters = self._counters(record.author)
        increments = tuple(Increment(counters, field, amount) for field, amount in _fields(line))
        author = f"w:{self._model}:{record.author.lower()}:"
        counted = Item(self._line_key(record), encode(line), increments)
        return counted, Item(author, record.author.encode())

    def _line_key(self, record: Record) -> str:
        return f"e:{self._model}:{record.author.lower()}:{record.tweet_id}"

    def _counters(self, author: str) -> str:
        return f"a:{self._model}:{author.lower()}:"

    def _show(self, line: Line) -> None:
        self.board.add(line)
        if self._late is not None:
            self._late.append(line)


def _fields(line: Line) -> Iterator[tuple[str, int]]:
    for unit, bucket in (("h", line.created_s // HOUR_S), ("d", line.created_s // DAY_S)):
        yield f"{unit}:{bucket}:{_MEASURES[line.label]}", 1
        yield f"{unit}:{bucket}:{_MEASURES[SUM]}", line.score_e4


def _put_on(board: Board, author: str, fields: dict[str, int]) -> None:
    for field, amount in fields.items():
        unit, bucket, measure = field.split(":")
        board.add_to(author, unit, int(bucket), _MEASURES.index(measure), amount)
