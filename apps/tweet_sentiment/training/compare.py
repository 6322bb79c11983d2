"""Compare every step from the trained network to the served one, in one table and one picture.

Writes ``benchmarks/results/tweet_model.json`` and prints the table. The picture is drawn by
``picture.py``, which needs matplotlib and nothing else.
"""

# ruff: noqa: T201 (a script)

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from apps.tweet_sentiment.training.encoder import TweetEncoder
from apps.tweet_sentiment.training.engine import in_runs, speed
from apps.tweet_sentiment.training.release import calibration
from apps.tweet_sentiment.training.train import read
from apps.tweet_sentiment.training.tweets import LABELS, macro_recall
from apps.tweet_sentiment.training.variants import Variant, in_onnx, in_torch
from apps.tweet_sentiment.training.vocabulary import encode, load

RESULT = Path(__file__).parents[3] / "benchmarks" / "results" / "tweet_model.json"
TIMED = 256
"""Validation tweets that are timed; recall is of all."""
ROUNDS = 3
"""Every step is timed once in each; the best counts, since what else runs only ever slows."""


def judge(variant: Variant, texts: list[str], labels: np.ndarray) -> dict[str, Any]:
    """Return size and recall of one step."""
    found = in_runs(variant.answer, encode(load(variant.tokenizer), texts)).argmax(1)
    return {
        "name": variant.name,
        "model_bytes": variant.path.stat().st_size,
        "bytes": variant.path.stat().st_size + variant.tokenizer.stat().st_size,
        "macro_recall": round(macro_recall(labels, found), 4),
        "recall": {
            name: round(float((found[labels == at] == at).mean()), 4)
            for at, name in enumerate(LABELS)
        },
    }


def measure(variants: list[Variant], texts: list[str], labels: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each step, and print the table."""
    rows = [judge(variant, texts, labels) for variant in variants]
    timed = [encode(load(variant.tokenizer), texts[:TIMED]) for variant in variants]
    rounds = [
        [speed(v.answer, tokens) for v, tokens in zip(variants, timed, strict=True)]
        for _ in range(ROUNDS)
    ]
    print("| Step | MB | p50 ms | tweets/s | macro recall |\n|---|--:|--:|--:|--:|")
    for row, found in zip(rows, zip(*rounds, strict=True), strict=True):
        row["p50_ms"] = round(min(one.p50_ms for one in found), 3)
        row["tweets_s"] = round(max(one.tweets_s for one in found), 1)
        row["tweets_s_rounds"] = [round(one.tweets_s, 1) for one in found]
        print(
            f"| {row['name']} | {row['bytes'] / 1e6:.1f} | {row['p50_ms']:.2f} "
            f"| {row['tweets_s']:,.0f} | {100 * row['macro_recall']:.2f} |"
        )
    return rows


def main() -> int:
    """Make and measure every step; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that train.py or soup.py wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder of train.tsv and val.tsv")
    parser.add_argument("--work", type=Path, required=True, help="folder for the steps' files")
    found = parser.parse_args()
    torch.set_num_threads(1)
    train, val = read(found.data)
    tokenizer = load(found.run / "tokenizer.json")
    model = TweetEncoder(tokenizer.get_vocab_size()).eval()
    model.load_state_dict(torch.load(found.run / "weights.pt"))
    chosen = calibration(encode(tokenizer, train.texts))
    found.work.mkdir(parents=True, exist_ok=True)
    steps = chain(
        in_torch(model, tokenizer, found.work), in_onnx(model, tokenizer, chosen, found.work)
    )
    rows = measure(list(steps), val.texts, val.labels)
    document = {
        "what": "steps from the trained network to the served one; one thread, "
        "runs of 16 tweets, by processor time (the machine had other work)",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_at_end": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            "onnxruntime": ort.__version__,
            "torch": str(torch.__version__),
        },
        "validation_tweets": len(val.labels),
        "timed_tweets": TIMED,
        "rounds": ROUNDS,
        "steps": rows,
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
