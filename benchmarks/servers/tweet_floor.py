"""The floor of the tweet benchmark: tokenizer and bare engine in a loop, no server, no network.

``python tweet_floor.py '{"model": VERSION_FOLDER, "tweets": FILE, "seconds": 3, ...}'`` prints one
JSON object; `Plan` names all fields. Each worker takes the next `window` tweets, as many as would
be in flight, tokenises them, orders them by length and runs them in batches of `batch`, padded to
the longest. With `read` the model's own normalising and refusing is part of the loop; else the
tweets were normalised before it. With `seconds` 0 the scores of all tweets are printed instead.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers fill the cores
sys.path.insert(0, str(Path(__file__).parents[1] / "batch_arms"))

import numpy as np
import onnxruntime
from side_by_side import side_by_side
from tokenizers import Tokenizer


class Plan(NamedTuple):
    """One way of looping."""

    model: str
    tweets: str
    seconds: float
    batch: int
    window: int
    workers: int = 1
    kind: str = "threads"
    threads: int = 1
    graph: str = "basic"
    read: bool = False


LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Pipeline:
    """Tokenizer and engine of one worker."""

    def __init__(self, plan: Plan) -> None:
        folder = Path(plan.model)
        sys.dont_write_bytecode = True  # the model's folder is left as it is
        sys.path.insert(0, str(folder))
        from language import refusal_as_read, refusal_as_written
        from normalise import normalise

        self.normalise = normalise
        self._refusals = (refusal_as_written, refusal_as_read)
        self._plan = plan
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = plan.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = LEVELS[plan.graph]
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def read(self, tweet: str) -> str:
        """Return the normalised tweet; ValueError when the model refuses it."""
        as_written, as_read = self._refusals
        text = self.normalise(tweet)
        reason = as_written(tweet) or as_read(text)
        if reason is not None:
            raise ValueError(f"the corpus has a tweet that is refused, {reason}: {tweet}")
        return text

    def logits(self, texts: list[str]) -> np.ndarray:
        """Return FP32 [len(texts), 3] of normalised texts (of tweets, where the plan reads)."""
        if self._plan.read:
            texts = [self.read(text) for text in texts]
        found = [one.ids for one in self._tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(found)), key=lambda at: len(found[at]))
        logits = np.empty((len(found), 3), np.float32)
        for start in range(0, len(order), self._plan.batch):
            chosen = order[start : start + self._plan.batch]
            ids = np.zeros((len(chosen), max(len(found[at]) for at in chosen)), np.int64)
            for row, at in enumerate(chosen):
                ids[row, : len(found[at])] = found[at]
            feed = {"ids": ids, "mask": (ids != 0).astype(np.int64)}
            (logits[chosen],) = self._session.run(None, feed)
        return logits


def load_tweets(plan: Plan, pipeline: Pipeline) -> list[str]:
    """Return the corpus as the loop wants it."""
    tweets = [line for line in Path(plan.tweets).read_text().splitlines() if line]
    read = [pipeline.read(tweet) for tweet in tweets]  # a refusal is told before the loop
    return tweets if plan.read else read


def work(plan: Plan, number: int, barrier, tell) -> None:
    """Loop for `plan.seconds` from the barrier on; tell (tweets, seconds)."""
    pipeline = Pipeline(plan)
    tweets = load_tweets(plan, pipeline)
    turn = number * len(tweets) // plan.workers
    tweets = tweets[turn:] + tweets[:turn]
    for _ in range(2):
        pipeline.logits(tweets[: plan.window])
    barrier.wait(60)
    done, at, start = 0, 0, time.perf_counter()
    while time.perf_counter() < start + plan.seconds:
        texts = [tweets[(at + offset) % len(tweets)] for offset in range(plan.window)]
        pipeline.logits(texts)
        done, at = done + len(texts), at + len(texts)
    tell((done, time.perf_counter() - start))


def measure(plan: Plan) -> dict[str, float]:
    """Return tweets_s of all workers side by side.

    Raises RuntimeError when a worker failed; its own message is on standard error.
    """
    found = side_by_side(plan, work)
    return {"tweets_s": sum(done / took_s for done, took_s in found)}


def answers(plan: Plan) -> list[list[float]]:
    """Return the scores of each tweet of the corpus."""
    pipeline = Pipeline(plan)
    logits = pipeline.logits(load_tweets(plan, pipeline))
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return scores.tolist()


if __name__ == "__main__":
    asked = Plan(**json.loads(sys.argv[1]))
    print(json.dumps(measure(asked) if asked.seconds else answers(asked)))
