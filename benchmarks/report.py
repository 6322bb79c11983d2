"""Results as files: JSON with everything, a markdown table, a picture."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks.percentiles import spread
from benchmarks.places import BENCHMARKS, RESULTS, ROOT, venv_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIGURES = ("req_s", "p50_ms", "p99_ms", "p999_ms", "cpu_s_per_1000")
OPEN_FIGURES = ("rate_sent", "p50_ms", "p99_ms", "p999_ms", "lag_p99_ms")


def summarise(rounds: list[dict]) -> dict:
    """Return median, min and max over `rounds` of each load's figures, and summed failures."""
    summary: dict = {}
    for kind, figures in (("closed", FIGURES), ("grpc", FIGURES), ("open", OPEN_FIGURES)):
        keys = {key: None for one in rounds for key in one.get(kind, {})}
        for key in keys:
            loads = [one[kind][key] for one in rounds if key in one.get(kind, {})]
            cell = {
                figure: spread([load[figure] for load in loads])
                for figure in figures
                if all(figure in load for load in loads)
            }
            for count in ("non_2xx", "socket_errors", "timeouts", "failed", "capped"):
                if any(count in load for load in loads):
                    cell[count] = sum(int(load.get(count, 0)) for load in loads)
            summary.setdefault(kind, {})[key] = cell
    for figure in ("peak_rss_mib", "pss_mib", "ready_s"):
        values = [one[figure] for one in rounds if figure in one]
        if values:
            summary[figure] = spread(values)
    batches = {batch: None for one in rounds for batch in one.get("items_s", {})}
    for batch in batches:
        values = [one["items_s"][batch] for one in rounds]
        summary.setdefault("items_s", {})[batch] = spread(values)
    return summary


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(figure: dict | None) -> str:
    """Return "median (min to max)" of a spread, "-" for None."""
    if figure is None:
        return "-"
    if figure["rounds"] == 1:
        return _number(figure["median"])
    low, high = _number(figure["min"]), _number(figure["max"])
    return f"{_number(figure['median'])} ({low} to {high})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _errors(load: dict) -> str:
    names = ("non_2xx", "socket_errors", "timeouts", "failed")
    return str(sum(load.get(name, 0) for name in names))


def _closed_table(arms: dict, kind: str, what: str) -> str:
    rows = []
    for name, arm in arms.items():
        for key, load in arm["summary"].get(kind, {}).items():
            figures = [cell(load.get(figure)) for figure in ("req_s", "p50_ms", "p99_ms")]
            rows.append([name, key, *figures, cell(load.get("cpu_s_per_1000")), _errors(load)])
    head = ["arm", what, "requests/s", "p50 ms", "p99 ms", "CPU s per 1,000", "failed"]
    return _table(head, rows)


def _open_table(arms: dict) -> str:
    rows = []
    for name, arm in arms.items():
        for key, load in arm["summary"].get("open", {}).items():
            rate = cell(load["rate_sent"]) + (" capped" if load["capped"] else "")
            figures = [cell(load[figure]) for figure in ("p50_ms", "p99_ms", "p999_ms")]
            rows.append([name, key, rate, *figures, cell(load["lag_p99_ms"]), _errors(load)])
    head = ["arm", "rate", "sent/s", "p50 ms", "p99 ms", "p99.9 ms", "generator lag p99 ms"]
    return _table([*head, "failed"], rows)


def _memory_table(arms: dict) -> str:
    rows = [
        [
            name,
            cell(arm["summary"].get("peak_rss_mib")),
            cell(arm["summary"].get("pss_mib")),
            " ".join(f"{key} {value}" for key, value in arm.get("versions", {}).items()),
            arm.get("note", ""),
        ]
        for name, arm in arms.items()
    ]
    return _table(["arm", "peak RSS MiB", "PSS MiB", "versions", "configuration"], rows)


def tiny_markdown(document: dict) -> str:
    """Return the markdown page of a result of the workload `tiny`."""
    arms = {name: arm for name, arm in document["arms"].items() if arm.get("summary")}
    parts = [heading(document)]
    for name, arm in arms.items():
        for batch, figure in arm["summary"].get("items_s", {}).items():
            parts.append(f"{name}, batch {batch}: {cell(figure)} images/s, no server.\n")
    parts += ["## Closed loop, REST (wrk)\n", _closed_table(arms, "closed", "connections"), ""]
    parts += ["## Closed loop, gRPC (h2load)\n", _closed_table(arms, "grpc", "streams"), ""]
    parts += ["## Open loop, REST\n", _open_table(arms), ""]
    parts += ["## Memory, versions, configuration\n", _memory_table(arms), ""]
    parts += _left_out(document)
    return "\n".join(parts)


def heading(document: dict) -> str:
    """Return the title and the paragraph that says where and how a result was measured."""
    machine = document["machine"]
    return (
        f"# {document['name']}\n\n"
        f"{document['date']}, commit {document['commit'] or 'none'}; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
        f"{document['how']}. Figures are median (min to max). Server and load generator share the "
        "machine: compare within this page only.\n"
    )


def _left_out(document: dict) -> list[str]:
    reasons = [
        f"- {name}: {arm['left_out'].splitlines()[0]} {arm['left_out'].splitlines()[-1]}"
        for name, arm in document["arms"].items()
        if "left_out" in arm
    ]
    return ["## Left out\n", *reasons, ""] if reasons else []


def write_result(
    document: dict, to_markdown: Callable[[dict], str], picture: str | None = "picture.py"
) -> Path:
    """Write NAME.json and NAME.md, draw NAME.svg where the picture environment exists.

    Returns the path of the JSON file.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{document['name']}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(to_markdown(document))
    if picture is not None:
        _draw(path, picture)
    print(f"wrote {path.relative_to(ROOT)}", flush=True)
    return path


def _draw(path: Path, picture: str) -> None:
    try:
        python = venv_python("bench")
    except FileNotFoundError as error:
        print(f"no picture: {error}")
        return
    command = [str(python), str(BENCHMARKS / picture), str(path)]
    command.append(str(path.with_suffix(".svg")))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        print(f"no picture: {done.stderr.strip()[-300:]}")
