"""The tweet benchmark's figures over the rounds, its targets, its page and its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.percentiles import spread
from benchmarks.report import cell, heading

if TYPE_CHECKING:
    from collections.abc import Callable

FIGURES = ("tweets_s", "p50_ms", "p99_ms", "hit_p50_ms", "echo_p50_ms", "hit_later_ms")
FAILURES = ("non_2xx", "socket_errors", "timeouts", "failed")

Round = dict[str, dict[str, dict[str, float]]]


def summarise(rounds: list[Round]) -> dict[str, dict[str, dict]]:
    """Return arm, load, figure: the spread over the rounds; and the failures, summed."""
    arms: dict[str, dict[str, dict]] = {}
    for one in rounds:
        for arm, loads in one.items():
            for key in loads:
                arms.setdefault(arm, {}).setdefault(key, {})
    for arm, keys in arms.items():
        for key, found in keys.items():
            loads = [one[arm][key] for one in rounds if key in one.get(arm, {})]
            for figure in FIGURES:
                values = [load[figure] for load in loads if figure in load]
                if values:
                    found[figure] = spread(values)
            found["failed"] = sum(int(load.get(name, 0)) for load in loads for name in FAILURES)
    return arms


def targets(rounds: list[Round], peak: int) -> list[dict]:
    """Return each target: what it asks, its figure over the rounds, and whether the median met it.

    `peak`: the connections at which the tutorial answers most; 0: it was left out.
    """
    at = f"{peak} connections"
    found = [
        _target("penstock's throughput / floor, one tweet a request", 0.95, rounds, _of_floor),
        _target(
            "penstock's throughput / floor that normalises too",
            None,
            rounds,
            lambda one: _best(one) / one["floor"]["normalise, tokenise and run"]["tweets_s"],
        ),
        _target(
            "service: hits' throughput / misses', 16 connections",
            15,
            rounds,
            lambda one: _ratio(one, "service", "hits, 16 connections", "misses, 16 connections"),
        ),
        _target(
            "service: a hit later than an echo, ms",
            -0.3,
            rounds,
            lambda one: one["service"]["hit and echo"]["hit_later_ms"],
        ),
    ]
    for arm, key in (("penstock", at), ("service", f"misses, {at}")):
        found += [
            _target(
                f"{arm} / tutorial, {at}: throughput",
                15,
                rounds,
                _against(arm, key, at, "tweets_s"),
            ),
            _target(f"{arm} / tutorial, {at}: p99", -0.2, rounds, _against(arm, key, at, "p99_ms")),
        ]
    for arm, key in (("penstock", "open loop"), ("service", "misses, open loop")):
        found.append(
            _target(
                f"{arm} at the tutorial's peak rate (open loop): p99 / tutorial's at its peak",
                -0.2,
                rounds,
                _against(arm, key, at, "p99_ms"),
            )
        )
    found.append(
        _target(
            "penstock's peak throughput / tutorial's",
            None,
            rounds,
            lambda one: _best(one) / one["tutorial"][at]["tweets_s"],
        )
    )
    return [target for target in found if target["value"] is not None]


def _target(
    name: str, wanted: float | None, rounds: list[Round], figure: Callable[[Round], float]
) -> dict[str, Any]:
    """`wanted`: at least so much; negative: at most so much; None: told, no target.

    In the result it is `at_least` or `at_most`.
    """
    values = []
    for one in rounds:
        try:
            values.append(figure(one))
        except KeyError:  # an arm was left out of that round
            continue
    value = spread(values) if values else None
    met = None
    if value is not None and wanted is not None:
        met = value["median"] >= wanted if wanted > 0 else value["median"] <= -wanted
    bound = {}
    if wanted is not None:
        bound = {"at_least": wanted} if wanted > 0 else {"at_most": -wanted}
    return {"name": name, **bound, "value": value, "met": met}


def _best(one: Round) -> float:
    """Return penstock's throughput at its best with one tweet a request."""
    return max(
        load["tweets_s"]
        for key, load in one["penstock"].items()
        if key.endswith("connections") and "rows" not in key
    )


def _of_floor(one: Round) -> float:
    return _best(one) / one["floor"]["tokenise and run"]["tweets_s"]


def _ratio(one: Round, arm: str, above: str, below: str) -> float:
    return one[arm][above]["tweets_s"] / one[arm][below]["tweets_s"]


def _against(arm: str, key: str, at: str, figure: str) -> Callable[[Round], float]:
    return lambda one: one[arm][key][figure] / one["tutorial"][at][figure]


def _asked(target: dict) -> str:
    if "at_least" in target:
        return f"at least {target['at_least']:g}"
    return f"at most {target['at_most']:g}" if "at_most" in target else "-"


def tweet_markdown(document: dict) -> str:
    """Return the markdown page of a result."""
    lines = [heading(document)]
    lines.append(
        f"Model {document['model']}, {document['model_bytes'] / 2**20:.1f} MiB; 400 invented "
        "tweets, benchmarks/corpus/tweets.txt. Misses are texts that were never sent before. "
        f"The tutorial's peak is at {document['tutorial_peak_connections']} connections.\n"
    )
    lines += ["## Targets\n", "| what | wanted | found | met |", "|---|---|---|---|"]
    for one in document["targets"]:
        met = {True: "yes", False: "**no**", None: "-"}[one["met"]]
        row = [one["name"], _asked(one), cell(one["value"]), met]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["\n## Loads\n", "| arm | load | tweets/s | p50 ms | p99 ms | failed |"]
    lines.append("|---|---|---|---|---|---|")
    for arm, loads in document["arms"].items():
        for key, load in loads.items():
            if "tweets_s" in load:
                figures = [cell(load.get(name)) for name in FIGURES[:3]]
                lines.append("| " + " | ".join([arm, key, *figures, str(load["failed"])]) + " |")
    both = document["arms"].get("service", {}).get("hit and echo")
    if both:
        lines.append(
            f"\nOne connection, in turns: a hit {cell(both['hit_p50_ms'])} ms, /livez "
            f"{cell(both['echo_p50_ms'])} ms (medians).\n"
        )
    lines += ["\n## Arms\n", "| arm | configuration | versions |", "|---|---|---|"]
    for arm, note in document["notes"].items():
        versions = " ".join(f"{name} {value}" for name, value in note["versions"].items())
        lines.append(f"| {arm} | {note['note']} | {versions} |")
    lines += [f"\nLeft out: {arm}: {why}" for arm, why in document["left_out"].items()]
    lines.append("\nThe floor's loops, tweets/s in a short trial each (two for the first four):\n")
    lines += [f"- {choice}: {rate:.0f}" for choice, rate in document["trials"].items()]
    return "\n".join(lines) + "\n"
