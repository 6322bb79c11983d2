"""Average the weights of several runs that started from the same weights: one model, no dearer.

Source: Wortsman et al., "Model soups" (2022), https://arxiv.org/abs/2203.05482.
"""

# ruff: noqa: T201 (a script)

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch

from apps.tweet_sentiment.training.encoder import TweetEncoder
from apps.tweet_sentiment.training.train import answer, read
from apps.tweet_sentiment.training.tweets import macro_recall
from apps.tweet_sentiment.training.vocabulary import encode, load


def mean_weights(runs: list[Path]) -> dict[str, torch.Tensor]:
    """Return the mean of the runs' weights; raises KeyError when they are of different networks."""
    loaded = [torch.load(run / "weights.pt") for run in runs]
    return {name: torch.stack([one[name] for one in loaded]).mean(0) for name in loaded[0]}


def main() -> int:
    """Average, judge on validation, write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders that train.py wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder of train.tsv and val.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--threads", type=int, default=2)
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    tokenizer = load(found.runs[0] / "tokenizer.json")
    weights = mean_weights(found.runs)
    model = TweetEncoder(tokenizer.get_vocab_size())
    model.load_state_dict(weights)
    _, val = read(found.data)
    together = np.mean([np.load(run / "val_logits.npy") for run in found.runs], axis=0)
    recall = macro_recall(val.labels, answer(model, encode(tokenizer, val.texts)).argmax(1))
    print(f"macro recall on validation: soup {recall:.4f}", end=", ")
    print(f"ensemble {macro_recall(val.labels, together.argmax(1)):.4f}")
    found.out.mkdir(parents=True, exist_ok=True)
    torch.save(weights, found.out / "weights.pt")
    shutil.copy(found.runs[0] / "tokenizer.json", found.out / "tokenizer.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
