"""The page of one workload's result."""

from __future__ import annotations

from benchmarks.report import cell, heading, table
from benchmarks.summary import COUNTS, loads

HEAD = ["arm", "load", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU s per 1,000", "failed"]


def load_words(encoding: str, key: str) -> str:
    """Return a load in words: "REST json, 32 connections", "gRPC, 1 connection x 32 streams"."""
    if encoding == "grpc":
        connections, streams = key.split("x")
        return f"gRPC, {_count(connections, 'connection')} x {_count(streams, 'stream')}"
    return f"REST {encoding}, {_count(key, 'connection') if key.isdigit() else key}"


def _count(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def reason(arm: dict) -> str | None:
    """Return in one line why an arm is not in a result, None when it is."""
    if "cannot" in arm:
        return f"does not do this: {arm['cannot']}"
    if "left_out" not in arm:
        return None
    said = arm["left_out"].splitlines()
    return f"left out: {' ... '.join(dict.fromkeys((said[0], said[-1])))}"


def _failed(load: dict) -> str:
    return str(sum(load.get(name, 0) for name in COUNTS if name != "capped"))


def _closed_table(arms: dict) -> str:
    rows = []
    for name, arm in arms.items():
        for encoding, key, load in loads(arm["summary"], "closed"):
            figures = ("req_s", "p50_ms", "p99_ms", "p999_ms", "cpu_s_per_1000")
            cells = [cell(load.get(figure)) for figure in figures]
            rows.append([name, load_words(encoding, key), *cells, _failed(load)])
    return table(HEAD, rows)


def _open_table(arms: dict) -> str:
    figures = ("p50_ms", "p99_ms", "p999_ms", "lag_p99_ms")
    head = ["arm", "load", "sent/s", "p50 ms", "p99 ms", "p99.9 ms", "generator lag p99 ms"]
    single = any(
        "p99_to_single_ratio" in load
        for arm in arms.values()
        for _, _, load in loads(arm["summary"], "open")
    )
    if single:
        figures += ("p99_to_single_ratio", "p99_to_single_p99_ratio")
        head += ["p99 / median of a single execution", "p99 / its p99 as served"]
    rows = []
    for name, arm in arms.items():
        for encoding, key, load in loads(arm["summary"], "open"):
            rate = cell(load["rate_sent"]) + (" capped" if load.get("capped") else "")
            cells = [cell(load.get(figure)) for figure in figures]
            rows.append([name, load_words(encoding, key), rate, *cells, _failed(load)])
    return table([*head, "failed"], rows)


def _server_table(arms: dict) -> str:
    memory = ("rss_idle_mib", "pss_idle_mib", "rss_after_mib", "peak_rss_mib")
    figures = ("start_s", "idle_cores", *memory)
    head = ["arm", "start to first good prediction s", "cores in use idle"]
    head += ["RSS idle MiB", "PSS idle MiB"]
    rows = [
        [name, *(cell(arm["summary"].get(figure)) for figure in figures)]
        for name, arm in arms.items()
        if "start_s" in arm["summary"]
    ]
    return table([*head, "RSS after the loads MiB", "peak RSS MiB"], rows)


def ratio_rows(ratios: dict) -> list[list[str]]:
    """Return a row for each closed loop: load, then each figure's ratio with its best peer."""
    rows = []
    for encoding, key, found in loads(ratios, "closed"):
        row = [load_words(encoding, key)]
        for figure in ("req_s", "p50_ms", "p99_ms", "cpu_s_per_1000"):
            row.append(with_peer(found.get(figure)))
        two, echo = with_peer(found.get("req_s_of_two")), cell(found.get("req_s_of_echo"))
        rows.append([*row, two, echo])
    return rows


def with_peer(figure: dict | None) -> str:
    """Return a ratio with the name of the peer that it is to, "-" for None."""
    return "-" if figure is None else f"{cell(figure)} {figure['best_peer']}"


RATIO_HEAD = [
    *("load", "requests/s", "p50", "p99", "CPU per request"),
    *("requests/s, two processes", "requests/s of the echo's"),
]


def _ratio_part(document: dict) -> list[str]:
    ratios = document["ratios"]
    if not ratios.get("closed"):
        return []
    about = (
        "Ours divided by the best peer's, both of the same round, and the peer's name. More is "
        "better for requests/s, less for all else.\n"
    )
    parts = ["## Ratios: penstock to the best peer\n", about]
    parts += [table(RATIO_HEAD, ratio_rows(ratios)), ""]
    words = {"start_s": "start-up", "rss_idle_mib": "RSS idle", "peak_rss_mib": "peak RSS"}
    server = ratios.get("server", {})
    if server:
        cells = [with_peer(server.get(figure)) for figure in words]
        parts += [table(list(words.values()), [cells]), ""]
    return parts


def _floor_part(arms: dict, trials: dict[str, float]) -> list[str]:
    parts = []
    for name, arm in arms.items():
        for loop, figure in arm["summary"].get("items_s", {}).items():
            parts.append(f"{name}, {loop}: {cell(figure)} requests/s ({arm['note']}).\n")
        if "single_ms" in arm["summary"]:
            single = arm["summary"]["single_ms"], arm["summary"]["single_as_served_p99_ms"]
            parts.append(
                f"A single execution: batch 1, 2 threads, median {cell(single[0])} ms; "
                f"batch 1, 1 thread, p99 {cell(single[1])} ms.\n"
            )
    rows = [
        [name, encoding, cell(share)]
        for name, arm in arms.items()
        for encoding, share in arm["summary"].get("share_of_floor", {}).items()
    ]
    if rows:
        parts += [table(["arm", "encoding", "best load / floor"], rows), ""]
    if trials:
        parts.append("The floor's loops, requests/s in one short trial each:\n")
        parts += [*(f"- {loop}: {rate:.0f}" for loop, rate in trials.items()), ""]
    return parts


def _arms_table(arms: dict) -> str:
    rows = []
    for name, arm in arms.items():
        found = " ".join(f"{key} {value}" for key, value in arm.get("versions", {}).items())
        rows.append([name, found, arm.get("note", "")])
    return table(["arm", "versions", "configuration"], rows)


def _not_run(arms: dict) -> list[str]:
    lines = []
    for name, arm in arms.items():
        if (why := reason(arm)) is not None:
            lines.append(f"- {name} {why}")
        for number, one in enumerate(arm["rounds"]):
            for key, error in one.get("errors", {}).items():
                lines.append(f"- {name}, round {number + 1}, {key}: {error.splitlines()[0]}")
    return ["## Left out\n", *lines, ""] if lines else []


def workload_markdown(document: dict) -> str:
    """Return the markdown page of one workload's result."""
    arms = {name: arm for name, arm in document["arms"].items() if arm.get("summary")}
    served = {name: arm for name, arm in arms.items() if "closed" in arm["summary"]}
    parts = [heading(document), f"Workload: {document['what']}.\n"]
    parts += _ratio_part(document)
    if served:
        parts += ["## Closed loop (wrk, h2load)\n", _closed_table(served), ""]
        parts += ["## Open loop\n", _open_table(served), ""]
        parts += ["## Start-up and memory\n", _server_table(served), ""]
    floor = _floor_part(arms, document.get("floor_trials", {}))
    parts += ["## The floor\n", *floor] if floor else []
    parts += ["## The arms\n", _arms_table(arms), "", *_not_run(document["arms"])]
    return "\n".join(parts)
