"""What a workload's rounds come to: the figures of each arm, and the ratios that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.percentiles import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "penstock"
OURS_TWO = "penstock-2"  # the same with two serving processes
FLOOR = "floor"
ECHOES = ("echo", "echo-grpc")
CLOSED = ("req_s", "p50_ms", "p99_ms", "p999_ms", "cpu_s_per_1000")
OPEN = (
    *("rate_sent", "p50_ms", "p99_ms", "p999_ms", "lag_p99_ms"),
    *("cpu_s_per_1000", "p99_to_single_ratio", "p99_to_single_p99_ratio"),
)
SERVER = (
    *("start_s", "idle_cores", "rss_idle_mib", "pss_idle_mib"),
    *("rss_after_mib", "pss_after_mib", "peak_rss_mib"),
)
BEST_FORM = "in the best encoding"
FAILURES = ("non_2xx", "socket_errors", "timeouts", "failed")
COUNTS = (*FAILURES, "capped")
TAIL_REQUESTS = 1000  # fewer make no p99.9


def summarise(document: dict) -> None:
    """Add to `document`, the record of one workload, each arm's `summary` and the `ratios`."""
    arms = document["arms"]
    floor = arms.get(FLOOR, {}).get("rounds", [])
    for arm in arms.values():
        for one, bare in zip(arm["rounds"], floor, strict=False):
            _beside_single(one, bare)
        if arm["rounds"]:
            arm["summary"] = _summary(arm["rounds"], floor)
    document["ratios"] = ratios(arms)


def loads(found: dict, kind: str) -> Iterator[tuple[str, str, dict]]:
    """Yield (encoding, load, figures) of a turn or of a summary; `kind` is "closed" or "open"."""
    for encoding, by_key in found.get(kind, {}).items():
        for key, load in by_key.items():
            yield encoding, key, load


def _beside_single(one: dict, floor: dict) -> None:
    """Set an open loop's p99 beside a single execution's time in the same round."""
    if "single_ms" not in floor:
        return
    for _, _, load in loads(one, "open"):
        load["p99_to_single_ratio"] = load["p99_ms"] / floor["single_ms"]
        load["p99_to_single_p99_ratio"] = load["p99_ms"] / floor["single_as_served_p99_ms"]


def _summary(rounds: list[dict], floor: list[dict]) -> dict:
    summary: dict = {}
    for kind, figures in (("closed", CLOSED), ("open", OPEN)):
        names = {(encoding, key): None for one in rounds for encoding, key, _ in loads(one, kind)}
        for encoding, key in names:
            found = [
                one[kind][encoding][key] for one in rounds if key in one[kind].get(encoding, {})
            ]
            into = summary.setdefault(kind, {}).setdefault(encoding, {})
            into[key] = _load_summary(found, figures)
    for figure in (*SERVER, "single_ms", "single_as_served_p99_ms"):
        values = [one[figure] for one in rounds if figure in one]
        if values:
            summary[figure] = spread(values)
    for loop in rounds[0].get("items_s", {}):
        values = [one["items_s"][loop] for one in rounds]
        summary.setdefault("items_s", {})[loop] = spread(values)
    if floor and "closed" in summary:
        summary["share_of_floor"] = _shares(rounds, floor)
    return summary


def _load_summary(found: list[dict], figures: tuple[str, ...]) -> dict:
    few = min(load["requests"] for load in found) < TAIL_REQUESTS
    summary: dict = {
        figure: spread([load[figure] for load in found])
        for figure in figures
        if all(figure in load for load in found) and not (few and figure == "p999_ms")
    }
    for count in COUNTS:
        if any(count in load for load in found):
            summary[count] = sum(int(load.get(count, 0)) for load in found)
    return summary


def _shares(rounds: list[dict], floor: list[dict]) -> dict:
    """Return, by encoding, the arm's best closed loop beside the best bare loop of its round."""
    shares: dict = {}
    for one, bare in zip(rounds, floor, strict=False):
        best = max(bare["items_s"].values())
        for encoding, by_key in one["closed"].items():
            rate = max(load["req_s"] for load in by_key.values())
            shares.setdefault(encoding, []).append(rate / best)
    return {encoding: spread(values) for encoding, values in shares.items()}


def ratios(arms: dict[str, dict]) -> dict:
    """Return our figures beside the best peer's and the echo's, each pair of the same round.

    `closed` and `open` by encoding (or BEST_FORM), load and figure, `server` by figure: a spread
    with `best_peer` (of the best median of those that answered 99 % of the load; the most
    requests/s, the least of all else). Beside
    requests/s stand `req_s_of_echo`, a spread, and `req_s_of_two`: two serving processes' to the
    best peer's. Above 1 is good for requests/s, below 1 for all
    else.
    """
    ours = arms.get(OURS, {})
    found: dict = {}
    for kind, figures in (
        ("closed", CLOSED),
        ("open", ("p50_ms", "p99_ms", "p999_ms", "cpu_s_per_1000")),
    ):
        for encoding, key, _ in loads(ours.get("summary", {}), kind):
            if "own peak" in key:  # every arm has a rate of its own there
                continue
            into = found.setdefault(kind, {}).setdefault(encoding, {})
            into[key] = _beside(arms, (kind, encoding, key), figures)
    if "closed" in found:
        found["closed"].update(_best_form_ratios(arms))
    if "summary" in ours:
        found["server"] = _beside(arms, (), SERVER)
    return found


def _best_form_ratios(arms: dict[str, dict]) -> dict:
    """Return the ratios over REST where each arm takes the encoding that serves it best.

    Empty where we speak one only: that is the same as the ratios of that encoding.
    """
    if len([name for name in arms[OURS]["summary"]["closed"] if name != "grpc"]) < 2:
        return {}
    best: dict[str, dict] = {}
    for name, arm in arms.items():
        rounds = [_best_form(one) for one in arm["rounds"]]
        if rounds and all(rounds):
            one_form = [{"closed": {BEST_FORM: one}} for one in rounds]
            best[name] = {"rounds": one_form, "summary": _summary(one_form, [])}
    if OURS not in best:
        return {}
    keys = best[OURS]["summary"]["closed"][BEST_FORM]
    return {BEST_FORM: {key: _beside(best, ("closed", BEST_FORM, key), CLOSED) for key in keys}}


def _best_form(one: dict) -> dict:
    """Return, by load, the closed loop over REST with the most requests/s of a turn."""
    best: dict = {}
    for encoding, key, load in loads(one, "closed"):
        if encoding != "grpc" and (key not in best or load["req_s"] > best[key]["req_s"]):
            best[key] = load
    return best


def _beside(arms: dict[str, dict], where: tuple[str, ...], figures: tuple[str, ...]) -> dict:
    found: dict = {}
    for figure in figures:
        medians = {
            name: median
            for name, arm in arms.items()
            if name not in (OURS, OURS_TWO, FLOOR, *ECHOES)
            and not _has_failed(arm, where)
            and (median := _median(arm, where, figure)) is not None
        }
        if not medians or _median(arms[OURS], where, figure) is None:
            continue
        choose = max if figure == "req_s" else min
        best = choose(medians, key=lambda name: medians[name])
        ratio = _ratio(arms[OURS], arms[best], where, figure)
        if ratio is not None:
            found[figure] = {"best_peer": best, **ratio}
        two = _ratio(arms.get(OURS_TWO, {}), arms[best], where, figure)
        if figure == "req_s" and two is not None:
            found["req_s_of_two"] = {"best_peer": best, **two}
    for echo in ECHOES if "req_s" in figures else ():
        ratio = _ratio(arms[OURS], arms.get(echo, {}), where, "req_s")
        if ratio is not None:
            found["req_s_of_echo"] = ratio
    return found


def _median(arm: dict, where: tuple[str, ...], figure: str) -> float | None:
    found = _at(arm.get("summary", {}), where)
    return found[figure]["median"] if figure in found else None


def _has_failed(arm: dict, where: tuple[str, ...]) -> bool:
    """Whether 1 % of a load or more failed: refusing is quick and cheap, and no peer's merit."""
    found = [_at(one, where) for one in arm.get("rounds", [])]
    failures = sum(int(load.get(count, 0)) for load in found for count in FAILURES)
    return failures > 0.01 * sum(load.get("requests", 0) for load in found)


def _at(found: dict, where: tuple[str, ...]) -> dict:
    for name in where:
        found = found.get(name, {})
    return found


def _ratio(ours: dict, other: dict, where: tuple[str, ...], figure: str) -> dict | None:
    """Return the spread of ours / other over the rounds in which both have the figure."""
    values = []
    for one, two in zip(ours.get("rounds", []), other.get("rounds", []), strict=False):
        mine, theirs = _at(one, where).get(figure), _at(two, where).get(figure)
        if mine is not None and theirs:
            values.append(mine / theirs)
    return spread(values) if values else None
