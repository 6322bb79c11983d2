"""The whole run on one page: every workload, every arm, and the ratios.

``python -m benchmarks.comparison`` makes it again from the result files of the workloads.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.places import RESULTS
from benchmarks.report import cell, heading, table, write_result
from benchmarks.summary import loads
from benchmarks.tables import RATIO_HEAD, load_words, ratio_rows, reason, with_peer
from benchmarks.workloads.registry import WORKLOADS

KEPT = ("date", "commit", "what", "how", "settings", "ratios")
OF_ARM = ("note", "versions", "summary", "left_out", "cannot")
SERVER_ROWS = {
    "start to first good prediction s": "start_s",
    "cores in use, idle": "idle_cores",
    "RSS idle, one model MiB": "rss_idle_mib",
    "PSS idle, one model MiB": "pss_idle_mib",
    "RSS after the loads MiB": "rss_after_mib",
    "peak RSS MiB": "peak_rss_mib",
}


def comparison(documents: list[dict], name: str) -> dict:
    """Return the record of a whole run: the summaries of its workloads without their rounds."""
    first = documents[0]
    workloads = {}
    for document in documents:
        arms = {
            arm: {key: found[key] for key in OF_ARM if key in found}
            for arm, found in document["arms"].items()
        }
        workloads[document["workload"]] = {**{k: document[k] for k in KEPT}, "arms": arms}
    return {
        "name": name,
        "workload": "comparison",
        **{key: first[key] for key in ("date", "commit", "machine")},
        "how": "; ".join(f"{key}: {found['how']}" for key, found in workloads.items()),
        "workloads": workloads,
    }


def _medians(workload: dict, figure: str) -> str:
    """Return a table of one figure's medians: a row for each load, a column for each arm."""
    arms = {name: arm["summary"] for name, arm in workload["arms"].items() if "summary" in arm}
    served = [name for name, summary in arms.items() if "closed" in summary]
    rows: dict[tuple[str, str], list[str]] = {}
    for name in served:
        for encoding, key, _ in loads(arms[name], "closed"):
            rows.setdefault((encoding, key), [])
    for (encoding, key), row in rows.items():
        found = [arms[name]["closed"].get(encoding, {}).get(key, {}) for name in served]
        row += [load_words(encoding, key), *(_median(one.get(figure)) for one in found)]
    return table(["load", *served], list(rows.values()))


def _median(figure: dict | None) -> str:
    return cell(None if figure is None else {**figure, "rounds": 1})


def _server_table(workload: dict) -> str:
    arms = {name: arm.get("summary", {}) for name, arm in workload["arms"].items()}
    served = [name for name, summary in arms.items() if "start_s" in summary]
    server = workload["ratios"].get("server", {})
    rows = [
        [
            label,
            *(_median(arms[name].get(figure)) for name in served),
            with_peer(server.get(figure)),
        ]
        for label, figure in SERVER_ROWS.items()
    ]
    return table(["figure", *served, "penstock / best peer"], rows)


def _not_run(workload: dict) -> list[str]:
    found = {name: reason(arm) for name, arm in workload["arms"].items()}
    reasons = [f"- {name} {why}" for name, why in found.items() if why is not None]
    return ["Not in it:\n", *reasons, ""] if reasons else []


def comparison_markdown(document: dict) -> str:
    """Return the markdown page of a whole run."""
    parts = [
        heading(document),
        "Ratios are ours divided by the best peer's, both of the same round, with the peer's name: "
        "more is better for requests/s, less for all else.\n",
    ]
    for name, workload in document["workloads"].items():
        parts += [f"## {name}: {workload['what']}\n"]
        if workload["ratios"].get("closed"):
            parts += [table(RATIO_HEAD, ratio_rows(workload["ratios"])), ""]
        for title, figure in (
            ("Requests/s", "req_s"),
            ("p99, ms", "p99_ms"),
            ("CPU seconds of the server per 1,000 requests", "cpu_s_per_1000"),
        ):
            parts += [f"{title}, median:\n", _medians(workload, figure), ""]
        parts += ["Start-up and memory, median:\n", _server_table(workload), ""]
        parts += _not_run(workload)
    return "\n".join(parts)


def main() -> int:
    """Entry point; returns 0, 1 when no workload has a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(WORKLOADS), help="result files, no ending")
    parser.add_argument("--name", default="comparison")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    given = parser.parse_args()
    paths = [given.out / f"{name}.json" for name in given.names]
    documents = [json.loads(path.read_text()) for path in paths if path.exists()]
    if not documents:
        print(f"no result in {given.out}: run `python -m benchmarks.run`", file=sys.stderr)
        return 1
    write_result(comparison(documents, given.name), comparison_markdown, folder=given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
