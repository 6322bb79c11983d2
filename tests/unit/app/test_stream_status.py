"""The line that shows how a stream goes."""

from __future__ import annotations

from penstock.app.cli.stream_status import status_line
from penstock.telemetry.stream_stats import StreamStats


def test_the_line() -> None:
    stats = StreamStats("tweets")
    assert status_line(stats, 0, 100) == "waiting for the broker; 0 records are under way"
    stats.is_connected = True
    assert status_line(stats, 0, 100) == "0 records/s, lag not known, 0 under way, 0 done"
    stats.lag, stats.oldest_ms, stats.predicted, stats.under_way_records = 12_000, 98_500, 7, 256
    stats.died("model_failed")
    stats.retried("write")
    assert status_line(stats, 1234.4, 100) == (
        "1,234 records/s, 12,000 wait, the oldest for 1.5 s, 256 under way, 8 done, 1 dead, "
        "1 retries"
    )
