"""Tally: what was asked and answered, for Prometheus, the page and the log, from one count."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from apps.tweet_sentiment.predictor import LABELS, Label
from apps.tweet_sentiment.record import Record
from penstock.stores.prediction_store import PredictionStore

_log = logging.getLogger("tweet_sentiment.inference")
_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Asked(NamedTuple):
    """Who asks what.

    Attributes:
        request_id: of the HTTP request, or of the job.
        source: ``archive``, ``x`` or ``text``.
    """

    request_id: str
    source: str


class Tally:
    """Counts inferences. Owned by the event loop's thread.

    Args:
        log_text: whether texts stand in the log; otherwise their length does.

    Attributes:
        hits, misses: answered from the store, and computed.
        labels: answers by label.
        failures: inferences without an answer, by reason.
        registry: for ``/metrics``.
    """

    def __init__(self, *, log_text: bool, stores: Sequence[PredictionStore] = ()) -> None:
        self.hits = 0
        self.misses = 0
        self.labels: dict[Label, int] = dict.fromkeys(LABELS, 0)
        self.failures: dict[str, int] = {}
        self.registry = CollectorRegistry()
        self._log_text = log_text
        self._stores = stores
        seconds = Histogram(
            "tweet_sentiment_inference_seconds",
            "Time of an inference, by whether the store had it.",
            ["outcome"],
            buckets=_BOUNDS_S,
            registry=self.registry,
        )
        self._seconds = {outcome: seconds.labels(outcome) for outcome in ("hit", "miss")}
        self.registry.register(self)

    def answered(
        self, asked: Asked, record: Record, *, hit: bool, version: int, took_s: float
    ) -> None:
        """Count one answer and log its line."""
        outcome, label = "hit" if hit else "miss", LABELS[record.label]
        self.hits += hit
        self.misses += not hit
        self.labels[label] += 1
        self._seconds[outcome].observe(took_s)
        if _log.isEnabledFor(logging.INFO):
            text = record.text if self._log_text else f"<{len(record.text)} characters>"
            _log.info(
                "request=%s source=%s outcome=%s label=%s version=%d ms=%.2f text=%r",
                *(*asked, outcome, label, version, took_s * 1e3, text),
            )

    def failed(self, asked: Asked, reason: str, took_s: float) -> None:
        """Count one inference that has no answer and log its line."""
        self.failures[reason] = self.failures.get(reason, 0) + 1
        _log.info(
            "request=%s source=%s outcome=failed reason=%s ms=%.2f", *asked, reason, took_s * 1e3
        )

    def collect(self) -> Iterator[Metric]:
        """The counts, as Prometheus reads them."""
        lookups = CounterMetricFamily(
            "tweet_sentiment_store_lookups",
            "Inferences by whether the store had them.",
            None,
            ["outcome"],
        )
        lookups.add_metric(["hit"], self.hits)
        lookups.add_metric(["miss"], self.misses)
        yield lookups
        predictions = CounterMetricFamily(
            "tweet_sentiment_predictions", "Answers by label.", None, ["label"]
        )
        for label, count in self.labels.items():
            predictions.add_metric([label], count)
        yield predictions
        failures = CounterMetricFamily(
            "tweet_sentiment_failures", "Inferences without an answer.", None, ["reason"]
        )
        for reason, count in self.failures.items():
            failures.add_metric([reason], count)
        yield failures
        yield from self._store_metrics()

    def _store_metrics(self) -> Iterator[Metric]:
        pending = GaugeMetricFamily(
            "tweet_sentiment_store_pending_items", "What waits to be written.", None, ["store"]
        )
        dropped = CounterMetricFamily(
            "tweet_sentiment_store_dropped", "Items never written.", None, ["store", "reason"]
        )
        errors = CounterMetricFamily(
            "tweet_sentiment_store_errors",
            "Failed calls of a store.",
            None,
            ["store", "operation", "fault"],
        )
        for stats in (store.stats for store in self._stores):
            pending.add_metric([stats.name], stats.pending_items)
            for reason, count in stats.dropped.items():
                dropped.add_metric([stats.name, reason], count)
            for (operation, fault), count in stats.errors.items():
                errors.add_metric([stats.name, operation, fault], count)
        yield from (pending, dropped, errors)
