"""The line that shows how a stream goes: one that moves on a terminal, else one now and then."""

from __future__ import annotations

import asyncio
import time
from typing import IO

from penstock.telemetry.stream_stats import StreamStats

_LIVE_S = 0.5
_PLAIN_S = 10.0


async def show_status(stats: StreamStats, file: IO[str]) -> None:
    """Show how a stream goes, until cancelled.

    Args:
        stats: its numbers.
        file: where to.
    """
    is_live = file.isatty()
    before, then_s = stats.num_settled, time.monotonic()
    while True:
        await asyncio.sleep(_LIVE_S if is_live else _PLAIN_S)
        now_s = time.monotonic()
        rate = (stats.num_settled - before) / (now_s - then_s)
        before, then_s = stats.num_settled, now_s
        line = status_line(stats, rate, time.time())
        print(f"\r\x1b[2K{line}" if is_live else line, end="" if is_live else "\n", file=file)
        file.flush()


def status_line(stats: StreamStats, rate: float, now_s: float) -> str:
    """One line: rate, lag, the age of the oldest, what is under way, dead letters, retries.

    Args:
        stats: the numbers of now.
        rate: records settled per second.
        now_s: since 1970.
    """
    if not stats.is_connected:
        return f"waiting for the broker; {stats.under_way_records:,} records are under way"
    parts = [f"{rate:,.0f} records/s"]
    parts.append("lag not known" if stats.lag is None else f"{stats.lag:,} wait")
    if stats.oldest_ms is not None:
        parts.append(f"the oldest for {max(0.0, now_s - stats.oldest_ms / 1000):,.1f} s")
    parts.append(f"{stats.under_way_records:,} under way")
    parts.append(f"{stats.num_settled:,} done")
    if stats.num_dead:
        parts.append(f"{stats.num_dead:,} dead")
    if stats.retries:
        parts.append(f"{sum(stats.retries.values()):,} retries")
    return ", ".join(parts)
