"""The floors: rows that lie in memory, as fast as the engine answers them.

``engine.py KIND MODEL FOLDER ROWS BATCH WORKERS``, ROWS a file of JSON lines. KIND "loop": the bare
model in a loop, a copy in each thread. "served": `penstock.serving` in this process, four requests
of BATCH rows under way. Prints rows/s and CPU seconds per 1,000 rows as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

IN_FLIGHT = 4


def loop(model: str, folder: str, rows: list[dict[str, Any]], batch: int, workers: int) -> None:
    """Answer all rows, a share in each thread; tell what it took."""
    sys.path.insert(0, str(Path(__file__).parent))
    from models import MODELS

    barrier = threading.Barrier(workers + 1)

    def work(number: int) -> None:
        answer = MODELS[model](folder)
        share = rows[len(rows) * number // workers : len(rows) * (number + 1) // workers]
        answer(share[:batch])
        barrier.wait(60)
        for start in range(0, len(share), batch):
            answer(share[start : start + batch])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    barrier.wait(60)
    begun, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    tell(len(rows), begun, cpu)


async def served(folder: str, rows: list[dict[str, Any]], batch: int) -> None:
    """Have a server without sockets answer all rows; tell what it took."""
    import numpy as np

    import penstock

    name = Path(folder).parent.name
    field = next(iter(rows[0].keys() - {"at"}))
    values = [row[field] for row in rows]
    array = np.array(values, object if isinstance(values[0], str) else np.float32)
    gate = asyncio.Semaphore(IN_FLIGHT)
    async with penstock.serving(str(Path(folder).parent)) as models:

        async def ask(start: int) -> None:
            async with gate:
                part = array[start : start + batch]
                await models.infer(name, version=Path(folder).name, **{field: part})

        await ask(0)
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(ask, range(0, len(array), batch)))
        tell(len(rows), begun, cpu)


def tell(num_rows: int, begun: float, cpu: float) -> None:
    """Print what it came to."""
    cpu_s, took_s = time.process_time() - cpu, time.perf_counter() - begun
    print(json.dumps({"rate": num_rows / took_s, "cpu_s_per_1000": cpu_s / num_rows * 1000}))


if __name__ == "__main__":
    kind, model, folder, file, batch, workers = sys.argv[1:]
    lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    if kind == "loop":
        loop(model, folder, lines, int(batch), int(workers))
    else:
        import uvloop

        uvloop.run(served(folder, lines, int(batch)))
