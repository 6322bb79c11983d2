"""Streams: the engine alone, `penstock stream run` and FastStream on the same records.

``python -m benchmarks.streams`` writes benchmarks/results/streams.json and .md. Two models: the
tweet model, and the digits classifier (`tiny`), where all but the model sets the pace. Each turn
has a new Redis or NATS of its own, in memory, with a stream that is filled before the consumer
starts; then, at half of the rate it reached, the time from a record's being due to its answer's
arrival at a consumer. Needs ``python -m benchmarks.venvs faststream``, redis-server, nats-server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.places import PYTHON, ROOT, newest_onnx, venv_python, without_root
from benchmarks.report import write_result
from benchmarks.stream_turn import Load, StreamArm, floor_turn, take_turn
from benchmarks.streams_report import ratios, streams_markdown, summarise

CORES = os.cpu_count() or 1
BATCHES = {"tweets": (16, 64, 256), "tiny": (64, 256, 1024)}
FOLDERS = {"tweets": "tweet-sentiment", "tiny": "digits"}
FLOORS = ("engine, loop", "engine, served")
NOTES = {
    "engine, loop": f"the bare model over rows in memory, a copy in each of {CORES} threads",
    "engine, served": "`penstock.serving` over arrays in memory, 4 requests under way",
    "penstock, redis": "`penstock stream run`, Redis Streams to Redis Streams, defaults",
    "penstock, nats": "`penstock stream run`, NATS JetStream to NATS JetStream, defaults",
    "faststream": "FastStream on Redis Streams, a coroutine that predicts each message",
    "faststream-2": "the same as a function, two workers, which run it in threads",
}
TRIAL_PART = 3
PARTS = {"tweets": 0.5, "tiny": 0.1}
"""Of the records, for FastStream, which would take as many times longer."""


class Workload:
    """One model; runs the arms in turns, and keeps what each round found."""

    def __init__(self, model: str, records: int, latency_s: float, folder: Path) -> None:
        version = newest_onnx(ROOT / "models" / FOLDERS[model]).parent
        self._model, self._folder = model, folder
        self._load = Load(model, version, self._written("rows", records), records, latency_s)
        self._batches: dict[str, int] = {}
        self.trials: dict[str, float] = {}
        self.rounds: list[dict[str, dict[str, float]]] = []
        self.left_out: dict[str, str] = {}
        part = PARTS[model]
        self._arms = [
            StreamArm("penstock, redis", "redis"),
            StreamArm("penstock, nats", "nats"),
            StreamArm("faststream", "faststream", workers=1, part=part),
            StreamArm("faststream-2", "faststream", workers=2, part=part),
        ]

    def try_batches(self) -> None:
        """Find the batch size that suits each floor."""
        trial = self._written("trial", self._load.records // TRIAL_PART)
        for label in FLOORS:
            rates = {}
            for batch in BATCHES[self._model]:
                rates[batch] = self._floor(label, batch, trial)["rate"]
                self.trials[f"{label} {batch}"] = rates[batch]
                print(f"{self._model} {label} {batch}: {rates[batch]:,.0f}/s", flush=True)
            self._batches[label] = max(rates, key=lambda one: rates[one])

    def _floor(self, label: str, batch: int, rows: Path | None = None) -> dict[str, float]:
        kind = label.rpartition(" ")[2]
        return floor_turn(kind, self._load, rows or self._load.rows, (batch, CORES))

    def _written(self, name: str, count: int) -> Path:
        path = self._folder / f"{self._model}-{name}.jsonl"
        path.write_text("".join(f"{line}\n" for line in make_rows(self._model, count)))
        return path

    def run_round(self, wanted: list[str]) -> None:
        """Give each arm its turn; each round begins with another one."""
        number, found = len(self.rounds), {}
        arms = [*FLOORS, *self._arms]
        turn = number * 2 % len(arms)
        for arm in arms[turn:] + arms[:turn]:
            label = arm if isinstance(arm, str) else arm.label
            if label in self.left_out or (wanted and label not in wanted):
                continue
            try:
                if isinstance(arm, str):
                    found[label] = self._floor(label, self._batches[label])
                else:
                    place = self._folder / f"{self._model}-{number}-{arm.label}"
                    found[label] = take_turn(arm, self._load, place)
            except (ArmError, FileNotFoundError) as error:
                self.left_out[label] = without_root(str(error))
                print(f"LEFT OUT {label}: {error}", flush=True)
                continue
            figures = " ".join(f"{name} {value:,.2f}" for name, value in found[label].items())
            print(f"{self._model} round {number + 1} {label}: {figures}", flush=True)
        self.rounds.append(found)

    def result(self) -> dict:
        """Return what is written of it."""
        return {
            "model": without_root(str(self._load.folder)),
            "records": self._load.records,
            "latency_s": self._load.latency_s,
            "trials": self.trials,
            "arms": summarise(self.rounds),
            "ratios": ratios(self.rounds),
            "notes": NOTES | {name: f"{NOTES[name]}, {batch} rows a batch"
                              for name, batch in self._batches.items()},
            "left_out": self.left_out,
            "rounds": self.rounds,
        }  # fmt: skip


def make_rows(model: str, count: int) -> list[str]:
    """Return records as JSON: `at`, a moment, and what the model takes."""
    if model == "tweets":
        texts = (ROOT / "benchmarks" / "corpus" / "tweets.txt").read_text().splitlines()
        return [json.dumps({"at": 0, "text": texts[n % len(texts)]}) for n in range(count)]
    chance = random.Random(7)
    images = [[chance.randint(0, 16) for _ in range(64)] for _ in range(200)]
    return [json.dumps({"at": 0, "pixels": images[n % 200]}) for n in range(count)]


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when an arm was left out or failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="tweets,tiny", help="commas between")
    parser.add_argument("--arms", default="", help="semicolons between; all where none is said")
    parser.add_argument("--tweets", type=int, default=5000, help="records of the tweet model")
    parser.add_argument("--tiny", type=int, default=60_000, help="records of the tiny model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=5.0, help="seconds at half load")
    parser.add_argument("--name", default="streams", help="of the result files")
    given = parser.parse_args(arguments)
    wanted = [one.strip() for one in given.arms.split(";") if one.strip()]
    signal.signal(signal.SIGTERM, _interrupt)  # what was started is stopped
    started, document = time.monotonic(), machine.heading_fields(given.name, "streams")
    with tempfile.TemporaryDirectory(prefix="penstock-streams-") as name:
        try:
            workloads = {
                model: Workload(model, getattr(given, model), given.latency, Path(name))
                for model in given.models.split(",")
            }
            for one in workloads.values():
                one.try_batches()
            for _ in range(given.rounds):
                for one in workloads.values():
                    one.run_round(wanted)
            document |= {
                "how": f"{given.rounds} rounds, arms interleaved",
                "workloads": {model: one.result() for model, one in workloads.items()},
                "took_s": round(time.monotonic() - started, 1),
                "versions": {
                    "penstock": machine.versions(PYTHON, ["redis", "nats-py", "onnxruntime"]),
                    "faststream": machine.versions(
                        venv_python("faststream"), ["faststream", "redis", "onnxruntime"]
                    ),
                },
            }
        except (ArmError, FileNotFoundError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    write_result(document, streams_markdown, picture=None)
    return 1 if any(one.left_out for one in workloads.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
