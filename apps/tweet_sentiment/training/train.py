"""Fine-tune MiniLM-L6 to the sentiment of tweets.

Seeded: the same options on the same machine give the same weights. See README.md for the commands.
"""

# ruff: noqa: T201 (a script)

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apps.tweet_sentiment.training.encoder import LAYERS, TweetEncoder, pretrained
from apps.tweet_sentiment.training.tweets import (
    Tweets,
    macro_recall,
    read_tweets,
    served_normalise,
)
from apps.tweet_sentiment.training.vocabulary import encode, prune, save

POOL = 48
"""Batches whose tweets are sorted by length together, so that little is padded."""


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        epochs: passes over the data.
        batch: tweets per step.
        lr: the head's learning rate at its peak; each layer below has ``decay`` times the next.
        decay: see ``lr``.
        warm_up: share of the steps in which the rate rises.
        dropout: see ``TweetEncoder``.
        balance: 0: classes weigh as they are, 1: all classes weigh the same.
        smoothing: of the labels.
        averaging: decay of the weights' running average, per step.
        soft: weight of the teachers' answers beside the labels.
        vocabulary: pieces to keep.
        seed: of everything.
    """

    epochs: float = 3
    batch: int = 32
    lr: float = 1e-4
    decay: float = 0.9
    warm_up: float = 0.08
    dropout: float = 0.1
    balance: float = 1.0
    smoothing: float = 0.05
    averaging: float = 0.999
    soft: float = 0.0
    vocabulary: int = 12000
    seed: int = 0


def pad(rows: list[list[int]]) -> Tensor:
    """Return INT64 [rows, longest], padded with 0."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return torch.from_numpy(ids)


def batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield positions: every tweet once, in random batches of about equal length."""
    order = rng.permutation(len(lengths))
    cut = [
        pool[np.argsort(lengths[pool], kind="stable")][start : start + size]
        for pool in np.split(order, range(size * POOL, len(order), size * POOL))
        for start in range(0, len(pool), size)
    ]
    for number in rng.permutation(len(cut)):
        yield cut[number]


@torch.inference_mode()
def answer(model: TweetEncoder, tokens: list[list[int]], *, size: int = 64) -> np.ndarray:
    """Return logits FP32 [tweets, 3], computed in bfloat16."""
    model.eval()
    order = np.argsort([len(row) for row in tokens], kind="stable")
    logits = np.zeros((len(tokens), 3), np.float32)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        with torch.autocast("cpu", torch.bfloat16):
            logits[chosen] = model(pad([tokens[i] for i in chosen])).float().numpy()
    return logits


def groups(model: TweetEncoder, options: Options) -> list[dict[str, object]]:
    """Return the optimiser's groups: lower layers learn slower, norms and biases decay not."""
    found: dict[tuple[int, bool], list[Tensor]] = {}
    for name, weight in model.named_parameters():
        depth = 0 if name.startswith("head") else LAYERS + 1
        if name.startswith("layers."):
            depth = LAYERS - int(name.split(".")[1])
        plain = weight.ndim < 2 or name.startswith(("words", "positions"))
        found.setdefault((depth, plain), []).append(weight)
    return [
        {
            "params": weights,
            "lr": options.lr * options.decay**depth,
            "weight_decay": 0.0 if plain else 0.01,
        }
        for (depth, plain), weights in found.items()
    ]


def rate(step: int, steps: int, warm_up: float) -> float:
    """Return the share of the peak rate at ``step``: up in a line, down in a half cosine."""
    rising = max(1, int(steps * warm_up))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Average:
    """A running average of a model's weights."""

    def __init__(self, model: TweetEncoder, decay: float) -> None:
        self.weights = [w.detach().clone() for w in model.parameters()]
        self._decay, self._steps = decay, 0

    def update(self, model: TweetEncoder) -> None:
        """Take in the weights as they are now."""
        self._steps += 1
        keep = min(self._decay, self._steps / (self._steps + 9))
        torch._foreach_lerp_(self.weights, [w.detach() for w in model.parameters()], 1 - keep)

    def swap(self, model: TweetEncoder) -> None:
        """Exchange the average with the model's weights; twice: as before."""
        for mine, theirs in zip(self.weights, model.parameters(), strict=True):
            kept = theirs.detach().clone()
            theirs.data.copy_(mine)
            mine.copy_(kept)


def loss_of(
    logits: Tensor, labels: Tensor, soft: Tensor | None, weights: Tensor, o: Options
) -> Tensor:
    """Return the loss: labels by class weight, mixed with the teachers' answers where given."""
    hard = functional.cross_entropy(logits, labels, weights, label_smoothing=o.smoothing)
    if soft is None:
        return hard
    return (1 - o.soft) * hard - o.soft * (soft * functional.log_softmax(logits, 1)).sum(1).mean()


def fit(
    model: TweetEncoder,
    tokens: list[list[int]],
    labels: np.ndarray,
    soft: np.ndarray | None,
    held_out: tuple[list[list[int]], np.ndarray],
    options: Options,
) -> None:
    """Train ``model`` in place; it ends with the averaged weights."""
    rng = np.random.default_rng(options.seed)
    lengths = np.array([len(row) for row in tokens])
    counts = np.bincount(labels, minlength=3)
    weights = torch.tensor((counts.mean() / counts) ** options.balance, dtype=torch.float32)
    optimiser = torch.optim.AdamW(groups(model, options), fused=True)
    peaks = [group["lr"] for group in optimiser.param_groups]
    per_epoch = sum(1 for _ in batches(lengths, options.batch, np.random.default_rng(0)))
    steps = int(per_epoch * options.epochs)
    average, step, started, seen = Average(model, options.averaging), 0, time.time(), 0.0
    while step < steps:
        for chosen in batches(lengths, options.batch, rng):
            if step == steps:
                break
            model.train()
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * rate(step, steps, options.warm_up)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(pad([tokens[i] for i in chosen]))
            taught = None if soft is None else torch.from_numpy(soft[chosen])
            loss = loss_of(logits, torch.from_numpy(labels[chosen]), taught, weights, options)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            average.update(model)
            step, seen = step + 1, 0.99 * seen + 0.01 * loss.item()
            if step % (per_epoch // 2) == 0 or step == steps:
                report(
                    model,
                    average,
                    held_out,
                    f"{step / per_epoch:.2f} {seen:.3f} {time.time() - started:.0f}s",
                )
    average.swap(model)


def report(
    model: TweetEncoder, average: Average, held_out: tuple[list[list[int]], np.ndarray], note: str
) -> None:
    """Print macro recall on validation, of the weights and of their average."""
    plain = macro_recall(held_out[1], answer(model, held_out[0]).argmax(1))
    average.swap(model)
    averaged = macro_recall(held_out[1], answer(model, held_out[0]).argmax(1))
    average.swap(model)
    print(f"epoch {note}: macro recall {plain:.4f}, averaged {averaged:.4f}", flush=True)


def read(folder: Path) -> tuple[Tweets, Tweets]:
    """Return training and validation tweets, normalised as they will be when served."""
    normalise = served_normalise()
    parts = [read_tweets(folder / name) for name in ("train.tsv", "val.tsv")]
    train, val = (Tweets([normalise(t) for t in part.texts], part.labels) for part in parts)
    return train, val


def main() -> int:
    """Train once; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.tsv and val.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--teachers", type=Path, nargs="*", default=[], help="runs to learn from")
    parser.add_argument("--start", type=Path, help="weights to start from; default: MiniLM's")
    parser.add_argument("--threads", type=int, default=2)
    for name, value in asdict(Options()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    found = vars(parser.parse_args())
    options = Options(**{name: found[name] for name in asdict(Options())})
    torch.set_num_threads(found["threads"])
    torch.manual_seed(options.seed)
    train, val = read(found["data"])
    vocabulary = prune(train.texts, options.vocabulary)
    tokens, held_out = (
        encode(vocabulary.tokenizer, train.texts),
        encode(vocabulary.tokenizer, val.texts),
    )
    out: Path = found["out"]
    save(vocabulary.tokenizer, out / "tokenizer.json")
    (out / "options.json").write_text(json.dumps(asdict(options), indent=1))
    model = pretrained(vocabulary.rows, options.dropout)
    if found["start"]:
        model.load_state_dict(torch.load(found["start"]))
    soft = None
    if found["teachers"]:
        soft = np.mean([np.load(t / "train_scores.npy") for t in found["teachers"]], axis=0)
    print(f"{len(tokens)} tweets, mean {np.mean([len(t) for t in tokens]):.1f} tokens", flush=True)
    fit(model, tokens, train.labels, soft, (held_out, val.labels), options)
    torch.save(model.state_dict(), out / "weights.pt")
    np.save(out / "val_logits.npy", answer(model, held_out))
    scores = torch.from_numpy(answer(model, tokens)).softmax(1).numpy()
    np.save(out / "train_scores.npy", scores)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
