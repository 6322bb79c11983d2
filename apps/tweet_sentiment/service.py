"""SentimentService: the business in one place. Looks up, computes what is missing, counts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from apps.tweet_sentiment.ledger import Ledger
from apps.tweet_sentiment.observe import Asked, Tally
from apps.tweet_sentiment.predictor import Prediction, Predictor, Refusal
from apps.tweet_sentiment.recent import Recent
from apps.tweet_sentiment.record import Record, decode, encode, record_of, text_key, tweet_key
from apps.tweet_sentiment.sources.source import SourceError, Tweet, TweetSource
from apps.tweet_sentiment.text import canonical, refusal
from penstock import PenstockError
from penstock.stores.prediction_store import Lookup, PredictionStore


class Answer(NamedTuple):
    """One answered inference.

    Attributes:
        record: label, scores and, where there is one, the tweet.
        version: of the model that answered.
        hit: whether it was in the store.
    """

    record: Record
    version: int
    hit: bool


class TextRefused(Exception):
    """A text cannot be judged; the message says why, for people."""

    kind = "text-refused"


Outcome = Answer | TextRefused
_Compute = Callable[[Sequence[int]], Awaitable[Sequence[bytes | Exception | None]]]


class SentimentService:
    """Answers inferences.

    Args:
        predictor: computes what is missing.
        source: gives tweets.
        store: predictions that are there already.
        ledger: counts tweets.
        tally: counts inferences.
        max_recent: answers by URL that are remembered for a minute, to spare the store.

    Concurrency: one event loop's thread.
    """

    def __init__(
        self,
        predictor: Predictor,
        source: TweetSource,
        store: PredictionStore,
        ledger: Ledger,
        tally: Tally,
        *,
        max_recent: int = 0,
    ) -> None:
        self.source = source
        self.ledger = ledger
        self.tally = tally
        self._predictor = predictor
        self._store = store
        self._recent = Recent(max_recent)

    @property
    def version(self) -> int:
        """The model version that answers now.

        Raises:
            PenstockError: none is ready.
        """
        return self._predictor.version

    async def of_tweet(self, tweet_id: str, request_id: str) -> Answer:
        """The sentiment of one tweet. Where the store has it, the source is not asked.

        Raises:
            SourceError: the tweet could not be had.
            TextRefused: its text cannot be judged.
            PenstockError: the model could not answer.
        """
        asked = Asked(request_id, self.source.name)
        started = time.perf_counter()
        try:
            version = self._predictor.version
            key = tweet_key(self._predictor.model, version, tweet_id)

            if (record := self._recent.get(key)) is not None:
                answer = Answer(record, version, True)
                self._answered(asked, answer, started)
                return answer

            async def compute(_: Sequence[int]) -> list[bytes | Exception | None]:
                try:
                    return await self._judge_tweets([await self.source.tweet(tweet_id)])
                except SourceError as err:
                    return [err]

            [outcome] = await self._outcomes([key], compute, version)
            if isinstance(outcome, TextRefused):
                raise outcome
        except (SourceError, TextRefused, PenstockError) as err:
            self.tally.failed(asked, reason_of(err), time.perf_counter() - started)
            raise
        self._recent.put(key, outcome.record)
        self._answered(asked, outcome, started)
        return outcome

    async def forget(self, author: str) -> int:
        """Forget an author everywhere; how many predictions were kept.

        Raises:
            StoreError: the store failed on the way; asking again goes on.
        """
        self._recent.clear()
        predictions = await self.ledger.forget(author)
        self._recent.clear()
        return predictions

    async def of_tweets(self, tweets: Sequence[Tweet], request_id: str) -> list[Outcome]:
        """The sentiments of tweets that are at hand, in order; see ``of_texts``."""
        asked = Asked(request_id, self.source.name)
        model, version = self._predictor.model, self._predictor.version
        keys = [tweet_key(model, version, tweet.id) for tweet in tweets]
        return await self._many(
            asked, keys, version, lambda some: self._judge_tweets([tweets[i] for i in some])
        )

    async def of_texts(self, texts: Sequence[str], request_id: str) -> list[Outcome]:
        """The sentiments of texts, in order; a wrong one is refused in its place, alone.

        Raises:
            PenstockError: the model could not answer.
        """
        asked = Asked(request_id, "text")
        model, version = self._predictor.model, self._predictor.version
        clean = [canonical(text) for text in texts]
        keys = [text_key(model, version, text) for text in clean]
        return await self._many(
            asked, keys, version, lambda some: self._judge_texts([clean[i] for i in some])
        )

    async def _many(
        self, asked: Asked, keys: Sequence[str], version: int, compute: _Compute
    ) -> list[Outcome]:
        started = time.perf_counter()
        try:
            outcomes = await self._outcomes(keys, compute, version)
        except PenstockError as err:
            self.tally.failed(asked, reason_of(err), time.perf_counter() - started)
            raise
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                self._answered(asked, outcome, started)
            else:
                self.tally.failed(asked, outcome.kind, time.perf_counter() - started)
        return outcomes

    async def _outcomes(
        self, keys: Sequence[str], compute: _Compute, version: int
    ) -> list[Outcome]:
        lookups = await self._store.get_or_compute(keys, compute)
        outcomes = [_outcome(lookup, version) for lookup in lookups]
        garbage = [index for index, outcome in enumerate(outcomes) if outcome is None]
        if garbage:  # what the store has is no record: compute it without the store
            again = [Lookup(value, False) for value in await compute(garbage)]
            for index, lookup in zip(garbage, again, strict=True):
                outcomes[index] = _outcome(lookup, version)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _judge_tweets(self, tweets: Sequence[Tweet]) -> list[bytes | Exception | None]:
        judged = await self._judge([canonical(tweet.text) for tweet in tweets])
        records = [
            record_of(one, tweet) if isinstance(one, Prediction) else None
            for one, tweet in zip(judged, tweets, strict=True)
        ]
        await self.ledger.count([record for record in records if record is not None])
        return [_kept(one, record) for one, record in zip(judged, records, strict=True)]

    async def _judge_texts(self, texts: Sequence[str]) -> list[bytes | Exception | None]:
        judged = await self._judge(texts)
        records = [record_of(one) if isinstance(one, Prediction) else None for one in judged]
        return [_kept(one, record) for one, record in zip(judged, records, strict=True)]

    async def _judge(self, texts: Sequence[str]) -> list[Prediction | Refusal]:
        refusals = [refusal(text) for text in texts]
        good = [text for text, why in zip(texts, refusals, strict=True) if why is None]
        predictions = iter(await self._predictor.predict(good) if good else [])
        return [next(predictions) if why is None else why for why in refusals]

    def _answered(self, asked: Asked, answer: Answer, started: float) -> None:
        took_s = time.perf_counter() - started
        self.tally.answered(
            asked, answer.record, hit=answer.hit, version=answer.version, took_s=took_s
        )


def reason_of(err: SourceError | TextRefused | PenstockError) -> str:
    """One word for what went wrong: the last part of a problem's type, a label of the metrics."""
    if isinstance(err, PenstockError):
        return err.code.value.replace("_", "-")
    return err.kind


def _outcome(lookup: Lookup, version: int) -> Outcome | None:
    """None: what was kept makes no sense."""
    value = lookup.value
    if isinstance(value, TextRefused):
        return value
    if isinstance(value, Exception):
        raise value
    record = None if value is None else decode(value)
    return None if record is None else Answer(record, version, lookup.hit)


def _kept(judged: Prediction | Refusal, record: Record | None) -> bytes | Exception:
    return encode(record) if record is not None else TextRefused(_reason(judged))


def _reason(judged: Prediction | Refusal) -> str:
    return judged.reason if isinstance(judged, Refusal) else ""
