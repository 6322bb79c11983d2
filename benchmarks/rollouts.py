"""Do rollouts decide rightly? Thousands of them, simulated, over the code that decides.

A version that is as good as the one before, rolled out a thousand times: how many are rolled
back? Bad ones of several kinds: how many get through, and how many requests does it take to see
it? Traffic and clock are simulated, with a look each second; `penstock.rollout.decide` decides.
Beside it: what a test that is made for one look does when it looks each second.

Writes benchmarks/results/rollouts.json and .md, and the pictures of docs/rollout-statistics.md.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.places import BENCHMARKS, RESULTS, ROOT, venv_python
from benchmarks.report import table, write_result
from benchmarks.rollout_needs import needs, needs_markdown
from benchmarks.rollout_peeking import peek, sequence
from benchmarks.rollout_play import GOOD, PLAN, Played, play
from benchmarks.rollout_traffic import Version
from penstock.evidence.rates import rate_interval
from penstock.evidence.samples import at_least
from penstock.rollout.plan import levels

if TYPE_CHECKING:
    from collections.abc import Sequence

PICTURES = ROOT / "docs" / "img" / "rollouts"
CERTAINTY = 0.05
CANARY = Version(error_ratio=0.05)
KINDS = {
    "as good as the reference": (GOOD, 1000.0, 1.0),
    "5 % errors instead of 0.1 %": (CANARY, 100.0, 0.4),
    "p99 latency 2 times": (Version(median_s=2 * GOOD.median_s), 600.0, 0.2),
    "a fifth of the predictions moved": (Version(classes=(0.3, 0.4, 0.3)), 600.0, 0.2),
    "0.65 % errors, just beyond the gate": (Version(error_ratio=0.0065), 2000.0, 0.2),
}
"""By name: the candidate, requests a second, and how many rollouts of it, in the good ones."""


def simulate(rollouts: int, workers: int) -> dict[str, list[Played]]:
    """Return how the rollouts of every kind ended."""
    found = {}
    with ProcessPoolExecutor(workers) as pool:
        for name, (candidate, rps, part) in KINDS.items():
            began_s = time.perf_counter()
            seeds = range(max(1, round(rollouts * part)))
            found[name] = list(pool.map(partial(play, candidate, rps), seeds, chunksize=5))
            took_s = time.perf_counter() - began_s
            print(f"{name}: {len(seeds)} rollouts in {took_s:.0f} s", flush=True)
    return found


def summarise(played: Sequence[Played]) -> dict:
    """Return how often what happened, and what it took."""
    ends = Counter(one.phase for one in played)
    back = [one for one in played if one.gate]
    return {
        "rollouts": len(played),
        "ends": dict(ends),
        "gates": dict(Counter(one.gate for one in back)),
        "stages": dict(Counter(one.stage for one in back)),
        "rolled_back": rate_interval(ends["rolled back"], len(played), CERTAINTY)._asdict(),
        "promoted": rate_interval(ends["done"], len(played), CERTAINTY)._asdict(),
        "looks": {
            "median": statistics.median(one.looks for one in played),
            "total": sum(one.looks for one in played),
        },
        "candidate_requests": _spread([one.candidate for one in back]),
    }


def _spread(values: Sequence[float]) -> dict | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "mean": statistics.fmean(ordered),
        "p90": ordered[math.ceil(0.9 * len(ordered)) - 1],
    }


def against_theory(played: Sequence[Played]) -> dict:
    """Return how many requests the rollback of the failing canary took, by what theory needs.

    Of those that were rolled back in the first step, whose level is the test's and whose weight
    is 5 %. Theory is `samples.at_least`: at the level of the one test, and at that of the whole
    rollout, as if it were the only one.
    """
    level, share = levels(PLAN).fail, PLAN.steps[0].weight / 100
    rates = GOOD.error_ratio, CANARY.error_ratio
    needed = at_least(*rates, share, level)
    took = [one.requests / needed for one in played if one.gate]
    return {
        "level": level,
        "theory_requests": needed,
        "theory_requests_whole_level": at_least(*rates, share, PLAN.false_rollback),
        "ratio": _spread(took),
        "ratios": sorted(took),
    }


def markdown(document: dict) -> str:
    """Return the page of the result."""
    plan, theory = document["plan"], document["theory"]
    rows = []
    for name, one in document["kinds"].items():
        looks, took = one["looks"], one["candidate_requests"]
        rows.append(
            [
                name,
                str(one["rollouts"]),
                _share(one["rolled_back"]),
                _share(one["promoted"]),
                str(one["ends"].get("paused", 0)),
                f"{looks['median']:.0f}",
                "-" if took is None else f"{took['median']:,.0f} ({took['mean']:,.0f})",
            ]
        )
    head = [
        "candidate",
        "rollouts",
        "rolled back",
        "promoted",
        "paused",
        "looks, median",
        "its requests at the rollback, median (mean)",
    ]
    ratio, peeking = theory["ratio"], document["peeking"]
    return "\n".join(
        [
            f"# {document['name']}\n",
            f"{document['date']}, commit {document['commit'] or 'none'}. {document['how']}. In "
            f"brackets the {1 - CERTAINTY:.0%} interval.\n",
            f"Levels: false_rollback {plan['false_rollback']:g}, {plan['fail_level']:.2g} for each "
            f"of the {plan['tests']} tests; false_promotion {plan['false_promotion']:g}.\n",
            table(head, rows),
            "",
            f"Requests of both versions until the canary with 5 % errors was rolled back, divided "
            f"by the {theory['theory_requests']:,.0f} that any test of its level needs in the "
            f"mean: median {ratio['median']:.2f}, mean {ratio['mean']:.2f}, 90 % of the rollouts "
            f"below {ratio['p90']:.2f}. (A test with the whole level for itself would need "
            f"{theory['theory_requests_whole_level']:,.0f}.)\n",
            "## Looking each second\n",
            f"{peeking['runs']:,} canaries as good as the reference ({peeking['error_ratio']:.0%} "
            f"errors, {peeking['weight_percent']:g} % of {peeking['rps']} requests/s), a look each "
            f"second for {peeking['seconds'][-1]} s, level {peeking['alpha']:g}.\n",
            table(
                ["test", "rolled back"],
                [
                    ["z-test, once, at the end", f"{peeking['fixed_once']:.1%}"],
                    ["z-test, each second", f"{peeking['fixed'][-1]:.1%}"],
                    ["`rates.more_often`, each second", f"{peeking['ours'][-1]:.1%}"],
                ],
            ),
            "",
            "## How many samples it takes\n",
            needs_markdown(document["needs"]),
        ]
    )


def _share(interval: dict) -> str:
    low, high, estimate = (f"{interval[name]:.2%}" for name in ("low", "high", "estimate"))
    return f"{estimate} ({low} to {high})"


def draw(result: Path) -> None:
    """Draw the pictures of the documentation, where the environment for it exists."""
    try:
        python = venv_python("bench")
    except FileNotFoundError as error:
        print(f"no pictures: {error}")
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    command = [str(python), str(BENCHMARKS / "rollout_picture.py"), str(result), str(PICTURES)]
    subprocess.run(command, check=True, timeout=120)


def main() -> int:
    """Entry point; returns 1 where a level does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000, help="good ones, and bad ones")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--name", default="rollouts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "rollouts")
    document["how"] = "Simulated traffic and clock, real decisions, a look each second"
    level = levels(PLAN)
    document["plan"] = {
        "false_rollback": PLAN.false_rollback,
        "false_promotion": PLAN.false_promotion,
        "fail_level": level.fail,
        "tests": round(PLAN.false_rollback / level.fail),
        "weights_percent": [step.weight for step in PLAN.steps],
    }
    found = simulate(given.rollouts, given.workers)
    document["kinds"] = {name: summarise(played) for name, played in found.items()}
    document["theory"] = against_theory(found["5 % errors instead of 0.1 %"])
    document["peeking"] = peek(given.rollouts)
    document["sequence"] = sequence()
    document["needs"] = needs()
    path = write_result(document, markdown, picture=None, folder=given.out)
    draw(path)
    good, *bad = document["kinds"].values()
    is_held = good["rolled_back"]["low"] <= PLAN.false_rollback and all(
        one["promoted"]["low"] <= PLAN.false_promotion for one in bad
    )
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
