"""The floor of the compute workload: the bare engine over the corpus, no server, no network.

``python minilm_floor.py MODEL TOKENS SECONDS BATCH ORDER SESSIONS THREADS`` prints one JSON object.
ORDER is "arrival" or "sorted": sorted takes the 32 next sentences, as many as would be in flight,
orders them by length and cuts batches from that. SESSIONS work side by side on Python threads, each
with THREADS intra-op threads. Sentences of one batch are padded to its longest.
"""

import itertools
import json
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime

IN_FLIGHT = 32


def open_session(model: str, threads: int) -> onnxruntime.InferenceSession:
    """Open the model on the CPU with `threads` intra-op threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def pad(sentences: list[list[int]]) -> dict[str, np.ndarray]:
    """Return the feed of one batch, INT64 [batch, longest]."""
    ids = np.zeros((len(sentences), max(map(len, sentences))), np.int64)
    mask = np.zeros_like(ids)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def batches(tokens: list[list[int]], batch: int, order: str) -> list[dict[str, np.ndarray]]:
    """Return the corpus as feeds of `batch` sentences in the given order (the rest is dropped)."""
    windows = [tokens]
    if order == "sorted":
        windows = [
            sorted(tokens[at : at + IN_FLIGHT], key=len)
            for at in range(0, len(tokens) - IN_FLIGHT + 1, IN_FLIGHT)
        ]
    return [
        pad(window[at : at + batch])
        for window in windows
        for at in range(0, len(window) - batch + 1, batch)
    ]


def work(session: onnxruntime.InferenceSession, feeds: list, end_s: float, done: list) -> None:
    """Run `feeds` round and round until `end_s`; append (sentences, seconds) of each run."""
    for feed in itertools.cycle(feeds):
        start = time.perf_counter()
        session.run(None, feed)
        now = time.perf_counter()
        done.append((len(feed["input_ids"]), now - start))
        if now >= end_s:
            return


def main(arguments: list[str]) -> None:
    """Measure one configuration and print sentences/s, the median and the p99 of one run."""
    model, path, duration_s, batch, order, sessions, threads = arguments
    tokens = json.loads(Path(path).read_text())
    feeds = batches(tokens, int(batch), order)
    opened = [open_session(model, int(threads)) for _ in range(int(sessions))]
    for session in opened:
        for feed in feeds[:3]:
            session.run(None, feed)
    done: list[list[tuple[int, float]]] = [[] for _ in opened]
    start = time.perf_counter()
    workers = []
    for number, session in enumerate(opened):
        turn = number * len(feeds) // len(opened)
        share = feeds[turn:] + feeds[:turn]
        given = (session, share, start + float(duration_s), done[number])
        workers.append(threading.Thread(target=work, args=given))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took_s = time.perf_counter() - start
    runs = [run for each in done for run in each]
    found = {
        "sentences_s": sum(count for count, _ in runs) / took_s,
        "run_median_ms": statistics.median(seconds for _, seconds in runs) * 1e3,
        "run_p99_ms": statistics.quantiles((s for _, s in runs), n=100)[-1] * 1e3,
        "runs": len(runs),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
