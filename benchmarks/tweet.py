"""Tweets: bare pipeline, Penstock, the service on it, and the tutorials' design, side by side.

``python -m benchmarks.tweet`` writes benchmarks/results/tweet.json, .md and .svg in under ten
minutes. `--quick` shows in two that all arms work; its figures are no evidence. Needs the model in
models/tweet-sentiment (or `--model FOLDER`), wrk, redis-server, and
``python -m benchmarks.venvs tutorial``.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.arms.arm import Arm, ArmError
from benchmarks.arms.tweet_floor import CHOICES, expected, measure
from benchmarks.load.wrk import LoadError
from benchmarks.places import ROOT, newest_onnx, without_root
from benchmarks.report import write_result
from benchmarks.tweet_loads import Load, PenstockLoads, ServiceLoads, TutorialLoads
from benchmarks.tweet_report import summarise, targets, tweet_markdown
from benchmarks.venvs import install_tools

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = ROOT / "models" / "tweet-sentiment"
ARMS = ("floor", "penstock", "service", "tutorial")
TRIAL_S = 1.5
AGAIN = 4
READY_S = 60.0


class TweetWorkload:
    """Runs the arms in turns; keeps each round's loads, and why an arm was left out."""

    def __init__(self, model: Path, folder: Path, arms: list[str], duration_s: float) -> None:
        self._version = newest_onnx(model).parent
        self._model, self._folder = model, folder
        self._duration_s = duration_s
        self.trials: dict[str, float] = {}
        self.rounds: list[dict[str, dict[str, Load]]] = []
        self.left_out: dict[str, str] = {}
        self.peak = 0
        self._peak_rate = 0.0
        self._turns: dict[str, Callable[[], dict[str, Load]]] = {"floor": self._run_floor}
        self._arms = arms

    def prepare(self) -> None:
        """Find the best bare loop and the tutorial's peak; RuntimeError when the loop fails."""
        self._expected = expected(self._version)[0]
        for choice in CHOICES:
            self.trials[str(choice)] = measure(self._version, choice, TRIAL_S)
            print(f"floor, {choice}: {self.trials[str(choice)]:.0f} tweets/s", flush=True)
        front = sorted(CHOICES, key=lambda choice: -self.trials[str(choice)])[:AGAIN]
        for choice in front:  # one trial is too few to tell those in front apart
            again = measure(self._version, choice, TRIAL_S)
            self.trials[str(choice)] = max(again, self.trials[str(choice)])
        self.best = max(front, key=lambda choice: self.trials[str(choice)])
        self._penstock = PenstockLoads(self._model, self._folder)
        most = max(self.trials.values())
        self._service = ServiceLoads(self._model, self._folder, most, self._duration_s)
        self._tutorial = TutorialLoads(self._folder)
        self._turns["tutorial"] = lambda: self._served(
            self._tutorial.arm, lambda: self._tutorial.run(self._duration_s)
        )
        for name, loads in (("penstock", self._penstock), ("service", self._service)):
            self._turns[name] = self._turn_of(loads)
        if "tutorial" in self._arms:
            self._find_peak()

    def _turn_of(self, loads: PenstockLoads | ServiceLoads) -> Callable[[], dict[str, Load]]:
        def run() -> dict[str, Load]:
            counts = {self.peak} if self.peak else set()
            return loads.run(self._duration_s, counts, self._peak_rate, self._expected)

        return lambda: self._served(loads.arm, run)

    def _find_peak(self) -> None:
        """One short trial: at how many connections the tutorial answers most."""

        def prepared() -> dict[str, Load]:
            self._tutorial.arm.prepare()
            return self._served(self._tutorial.arm, lambda: self._tutorial.run(TRIAL_S))

        trial = self._attempt("tutorial", prepared)
        if trial is not None:
            best = max(trial, key=lambda key: trial[key]["tweets_s"])
            self.peak, self._peak_rate = int(best.split()[0]), trial[best]["tweets_s"]
            print(f"tutorial: peak {self._peak_rate:.0f}/s at {best}", flush=True)

    def run_round(self) -> None:
        """Give each arm its turn; each round begins with another one."""
        number, found = len(self.rounds), {}
        turn = number % len(self._arms)
        for name in self._arms[turn:] + self._arms[:turn]:
            if name in self.left_out:
                continue
            loads = self._attempt(name, self._turns[name])
            if loads is not None:
                found[name] = loads
                rates = [
                    f"{key} {load['tweets_s']:.0f}/s"
                    for key, load in loads.items()
                    if "tweets_s" in load
                ]
                print(f"round {number + 1} {name}: {', '.join(rates)}", flush=True)
        self.rounds.append(found)

    def _attempt(self, name: str, turn: Callable[[], dict[str, Load]]) -> dict[str, Load] | None:
        try:
            return turn()
        except (ArmError, LoadError, OSError, RuntimeError, ValueError, KeyError) as error:
            self.left_out[name] = without_root(f"{type(error).__name__}: {error}")
            print(f"LEFT OUT {name}: {error!r}\n{error}", flush=True)
            return None

    def _served(self, arm: Arm, run: Callable[[], dict[str, Load]]) -> dict[str, Load]:
        try:
            arm.start()
            arm.wait_ready(READY_S)
            return run()
        except (ArmError, LoadError) as error:
            log = arm.server.log_tail() if arm.server is not None else ""
            raise ArmError(f"{error}\nits log ends:\n{log}") from error
        finally:
            arm.stop()

    def _run_floor(self) -> dict[str, Load]:
        rates = {
            "tokenise and run": measure(self._version, self.best, self._duration_s),
            "normalise, tokenise and run": measure(
                self._version, self.best.reading(), self._duration_s
            ),
        }
        return {key: {"tweets_s": rate} for key, rate in rates.items()}

    def notes(self) -> dict[str, dict]:
        """Return how each arm is configured, and its versions."""
        found: dict[str, dict] = {"floor": {"note": str(self.best), "versions": {}}}
        for loads in (self._penstock, self._service, self._tutorial):
            arm = loads.arm
            if arm.label in self._arms and arm.label not in self.left_out:
                found[arm.label] = {"note": arm.note, "versions": arm.versions()}
        return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; exits with a message on a wrong one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's folder")
    parser.add_argument("--arms", default=",".join(ARMS), help="commas between")
    parser.add_argument("--rounds", type=int, help="default 5, 1 with --quick")
    parser.add_argument("--duration", type=float, help="seconds a load; default 3, 1 with --quick")
    parser.add_argument("--limit", type=float, default=570.0, help="seconds for the whole run")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--name", default="tweet", help="of the result files")
    given = parser.parse_args(arguments)
    given.model = given.model.resolve()
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.duration = max(1.0, given.duration or (1.0 if given.quick else 3.0))
    given.arms = [name for name in given.arms.split(",") if name]
    unknown = sorted(set(given.arms) - set(ARMS))
    if unknown or not given.arms:
        parser.error(f"unknown arm {', '.join(unknown)}; known: {', '.join(ARMS)}")
    return given


def run(given: argparse.Namespace, folder: Path) -> bool:
    """Run all rounds that fit the limit and write the files; False when an arm was left out."""
    started = time.monotonic()
    document = machine.heading_fields(f"{given.name}{'-quick' if given.quick else ''}", "tweet")
    workload = TweetWorkload(given.model, folder, given.arms, given.duration)
    workload.prepare()
    longest = 0.0
    for _ in range(given.rounds):
        begun = time.monotonic()
        if begun - started + longest > given.limit:
            print(f"no further round: {given.limit:.0f} s are nearly over", flush=True)
            break
        workload.run_round()
        longest = max(longest, time.monotonic() - begun)
    count = len(workload.rounds)
    rounds = "1 round" if count == 1 else f"{count} rounds"
    document |= {
        "how": f"{rounds}, arms interleaved, {given.duration:g} s a load",
        "settings": {"rounds": count, "duration_s": given.duration, "arms": given.arms},
        "model": without_root(str(given.model)),
        "model_bytes": newest_onnx(given.model).stat().st_size,
        "tutorial_peak_connections": workload.peak,
        "took_s": round(time.monotonic() - started, 1),
        "arms": summarise(workload.rounds),
        "targets": targets(workload.rounds, workload.peak),
        "notes": workload.notes(),
        "left_out": workload.left_out,
        "trials": workload.trials,
        "rounds": workload.rounds,
        "load_average_at_end": machine.describe()["load_average_at_start"],
    }
    write_result(document, tweet_markdown, picture="tweet_picture.py")
    return not workload.left_out


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when an arm was left out or failed, 130 when interrupted."""
    given = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    install_tools()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-tweet-") as folder:
            return 0 if run(given, Path(folder)) else 1
    except (FileNotFoundError, RuntimeError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; servers are stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
