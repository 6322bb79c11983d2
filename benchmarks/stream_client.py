"""Producer and consumer of a stream that runs: how old is an answer when it arrives?

``python -m benchmarks.stream_client BROKER URL RATE SECONDS ROWS``: sends the rows of a file of
JSON lines at a fixed mean rate, whatever the stream does, each with the moment it was due (`at`);
takes the answers as any consumer does. Prints the latencies of all but the first tenth as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
import time
from pathlib import Path

from benchmarks.percentiles import latency_summary_ms, percentile
from benchmarks.stream_brokers import BROKERS, Broker

_TICK_S = 0.002
"""At least 1 ms: uvloop takes less for none, and spins."""
_PATIENCE_S = 20.0


class Arrivals:
    """How old answers are when they arrive.

    Args:
        total: how many are awaited.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self.all_there = asyncio.Event()
        self.ages_s: list[float] = []

    def note(self, value: bytes) -> None:
        """An answer arrives."""
        self.ages_s.append(time.time() - json.loads(value)["at"])
        if len(self.ages_s) == self._total:
            self.all_there.set()


async def send(broker: Broker, bodies: list[bytes], rate: float, total: int) -> list[float]:
    """Send with exponential gaps; return how long after its being due each one was sent."""
    chance, body = random.Random(7), itertools.cycle(bodies)
    due, late = time.time() + 0.1, list[float]()
    while len(late) < total:
        dues, now = [], time.time()
        while due <= now and len(late) + len(dues) < total:
            dues.append(due)
            due += chance.expovariate(rate)
        if dues:
            await broker.send([b'{"at": %.6f,' % one + next(body) for one in dues])
            sent = time.time()
            late += [sent - one for one in dues]
        await asyncio.sleep(_TICK_S)
    return late


async def main(kind: str, url: str, rate: float, seconds: float, lines: list[bytes]) -> None:
    """Send, take, and print."""
    total = int(rate * seconds)
    broker, listener, arrivals = BROKERS[kind](url), BROKERS[kind](url), Arrivals(total)
    await broker.open()
    await listener.open()
    listening = asyncio.create_task(listener.listen(arrivals.note))
    await asyncio.sleep(0.3)
    begun = time.perf_counter()
    late = await send(broker, [line.partition(b",")[2] for line in lines], rate, total)
    took_s = time.perf_counter() - begun
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(arrivals.all_there.wait(), _PATIENCE_S)
    listening.cancel()
    ages_s = arrivals.ages_s
    told = latency_summary_ms(ages_s[len(ages_s) // 10 :])
    told |= {"rate": total / took_s, "missing": total - len(ages_s)}
    told["send_p99_ms"] = percentile(sorted(late), 0.99) * 1e3
    print(json.dumps(told))


if __name__ == "__main__":
    import uvloop

    kind, url, rate, seconds, file = sys.argv[1:]
    uvloop.run(main(kind, url, float(rate), float(seconds), Path(file).read_bytes().splitlines()))
