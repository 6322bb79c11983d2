"""A consumer that takes records and settles none, until somebody ends its process."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from penstock.jobs.stream.open_broker import open_source
from penstock.jobs.stream.spec import Input
from tests.brokers.bench import nobody


async def main(spec: Input, count: int) -> None:
    """Take ``count`` records, say so, and keep them."""
    source = open_source(spec)
    await source.open(nobody)
    taken = 0
    while taken < count:
        taken += len(await source.poll(count - taken, 0.2))
    sys.stdout.write(f"took {taken}\n")
    sys.stdout.flush()
    while True:
        await source.poll(0, 0.2)


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Input), int(sys.argv[2])))
