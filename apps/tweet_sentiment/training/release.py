"""Write the served version's weights and tokenizer from a run, and refuse a bad bargain."""

# ruff: noqa: T201 (a script)

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from apps.tweet_sentiment.training.encoder import TweetEncoder
from apps.tweet_sentiment.training.engine import in_runs, session
from apps.tweet_sentiment.training.export import export_fused, export_plain
from apps.tweet_sentiment.training.shrink import calibrate, to_int8
from apps.tweet_sentiment.training.train import read
from apps.tweet_sentiment.training.tweets import MODEL, macro_recall
from apps.tweet_sentiment.training.vocabulary import encode, load

CALIBRATION_TWEETS = 600
MAX_BYTES = 16_000_000
MAX_LOSS = 0.005
"""Of macro recall, from the FP32 network to int8."""


def calibration(tokens: list[list[int]]) -> list[list[int]]:
    """Return the training tweets that activations are measured on: the same ones each time."""
    chosen = np.random.default_rng(0).choice(len(tokens), CALIBRATION_TWEETS, replace=False)
    return [tokens[at] for at in chosen]


def main() -> int:
    """Release; returns 1 where the artifact is too large or lost too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that train.py or soup.py wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder of train.tsv and val.tsv")
    parser.add_argument("--method", default="minmax", help="of the calibration")
    found = parser.parse_args()
    train, val = read(found.data)
    tokenizer = load(found.run / "tokenizer.json")
    held_out = encode(tokenizer, val.texts)
    model = TweetEncoder(tokenizer.get_vocab_size()).eval()
    model.load_state_dict(torch.load(found.run / "weights.pt"))
    with tempfile.TemporaryDirectory() as folder:
        plain, apart, small = (Path(folder) / f"{name}.onnx" for name in ("plain", "apart", "int8"))
        export_plain(model, plain)
        export_fused(plain, apart, apart=True)
        measured = calibrate(apart, calibration(encode(tokenizer, train.texts)), found.method)
        to_int8(apart, small, measured)
        before, after = (
            macro_recall(val.labels, in_runs(session(path), held_out).argmax(1))
            for path in (apart, small)
        )
        size = small.stat().st_size + (found.run / "tokenizer.json").stat().st_size
        print(f"macro recall on validation: fp32 {before:.4f}, int8 {after:.4f}; {size:,} bytes")
        if size > MAX_BYTES or before - after > MAX_LOSS:
            return 1
        shutil.copy(small, MODEL / "model.onnx")
        shutil.copy(found.run / "tokenizer.json", MODEL / "tokenizer.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
