"""The metrics of a stream: each is on the page, and docs/streams.md tells of each."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError
from penstock.telemetry.stream_metrics import STREAM_METRICS, metrics_page
from penstock.telemetry.stream_stats import StreamStats

PAGE = Path(__file__).parents[3] / "docs" / "streams.md"


def read(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_the_page_shows_what_was_counted() -> None:
    stats = StreamStats("tweets")
    stats.received, stats.predicted, stats.dropped, stats.lag = 10, 6, 1, 0
    stats.died("model_failed")
    stats.retried("write")
    stats.age_ns.observe(30_000_000)
    with metrics_page(stats, "127.0.0.1", 0) as port:
        page = read(port)
        assert page['penstock_stream_received_total{stream="tweets"}'] == 10
        settled = 'penstock_stream_settled_total{{outcome="{}",stream="tweets"}}'
        assert [page[settled.format(o)] for o in ("predicted", "dead", "dropped")] == [6, 1, 1]
        dead = 'penstock_stream_dead_letters_total{reason="model_failed",stream="tweets"}'
        assert page[dead] == 1
        assert page['penstock_stream_retries_total{step="write",stream="tweets"}'] == 1
        assert page['penstock_stream_oldest_age_seconds{stream="tweets"}'] == 0
        assert page['penstock_stream_age_seconds_bucket{le="0.05",stream="tweets"}'] == 1
        assert page['penstock_stream_age_seconds_sum{stream="tweets"}'] == pytest.approx(0.03)
        assert "process_resident_memory_bytes" in page
        stats.lag, stats.oldest_ms = None, 1
        page = read(port)
        assert 'penstock_stream_lag_records{stream="tweets"}' not in page
        assert page['penstock_stream_oldest_age_seconds{stream="tweets"}'] > 1e9
        taken = metrics_page(stats, "127.0.0.1", port)
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"), taken:
            pass


def test_each_metric_stands_in_the_documentation() -> None:
    text = PAGE.read_text()
    assert [spec.name for spec in STREAM_METRICS if f"`{spec.name}`" not in text] == []
    assert len({spec.name for spec in STREAM_METRICS}) == len(STREAM_METRICS)
