"""Run the benchmarks: ``.venv/bin/python -m benchmarks.run`` from the repository root.

Every arm on this machine in turn, in several rounds, over every workload. Writes WORKLOAD.json,
.md and .svg for each workload and, after all of them, comparison.json, .md and .svg: what matters
of the whole run, with the ratios. `--quick` shows in some minutes that all arms work; its figures
are no evidence.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.comparison import comparison, comparison_markdown
from benchmarks.places import RESULTS
from benchmarks.report import write_result
from benchmarks.rounds import NAMES, Rounds
from benchmarks.settings import Settings, in_words
from benchmarks.summary import summarise
from benchmarks.tables import RATIO_HEAD, ratio_rows, workload_markdown
from benchmarks.venvs import install_tools
from benchmarks.workloads.registry import WORKLOADS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; exits with a message on a wrong one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="all", help=f"{','.join(WORKLOADS)} or all")
    parser.add_argument("--arms", default="all", help=f"{','.join(NAMES)} or all")
    parser.add_argument("--rounds", type=int, help="default: see settings.py; 1 with --quick")
    parser.add_argument("--duration", type=float, help="whole seconds a load; 1 with --quick")
    parser.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--name", help="of the result files, WORKLOAD behind it where several")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    given = parser.parse_args(arguments)
    given.workloads = _names(parser, "workload", given.workload, list(WORKLOADS))
    given.arms = _names(parser, "arm", given.arms, NAMES)
    return given


def _names(parser: argparse.ArgumentParser, what: str, given: str, known: list[str]) -> list[str]:
    names = known if given == "all" else [name for name in given.split(",") if name]
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        parser.error(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
    return [name for name in known if name in names]


def settings_of(given: argparse.Namespace) -> Settings:
    """Return the settings that the command line asks for."""
    settings = Settings(arrivals=given.arrivals)
    if given.quick:
        settings = settings.quick()
    if given.rounds is not None:
        settings = replace(settings, rounds=max(1, given.rounds))
    if given.duration is not None:
        settings = replace(settings, duration_s=max(1.0, given.duration))
    return settings


def file_name(given: argparse.Namespace, what: str) -> str:
    """Return the name of a result's files without an ending."""
    name = what
    if given.name:
        name = given.name if len(given.workloads) == 1 else f"{given.name}-{what}"
    return f"{name}-quick" if given.quick else name


def run_workload(
    name: str, given: argparse.Namespace, settings: Settings, folder: Path
) -> dict | None:
    """Run one workload and write its files; return its document, None when it cannot be run."""
    try:
        workload = WORKLOADS[name]()
    except (FileNotFoundError, RuntimeError) as error:
        print(f"LEFT OUT {name}: {error}", flush=True)
        return None
    document: dict = {
        **machine.heading_fields(file_name(given, name), name),
        "what": workload.what,
        "settings": settings.as_json(name),
        "how": in_words(settings.plan(name)),
    }
    rounds = Rounds(workload, given.arms, settings, folder)
    document["arms"] = rounds.run()
    if rounds.floor.trials:
        document["floor_trials"] = rounds.floor.trials
    summarise(document)
    document["load_average_at_end"] = machine.describe()["load_average_at_start"]
    write_result(document, workload_markdown, folder=given.out)
    for row in [RATIO_HEAD, *ratio_rows(document["ratios"])]:
        print(f"{name}, penstock / best peer | {' | '.join(row)}", flush=True)
    return document


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def allow_files() -> None:
    """Raise this process's and its children's limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when something was left out, 130 when interrupted."""
    given = parse(arguments)
    settings = settings_of(given)
    signal.signal(signal.SIGTERM, _interrupt)
    allow_files()
    install_tools()
    documents = []
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            for name in given.workloads:
                documents.append(run_workload(name, given, settings, Path(folder)))
    except KeyboardInterrupt:
        print("interrupted; servers are stopped", file=sys.stderr)
        return 130
    done = [document for document in documents if document is not None]
    if len(done) == len(WORKLOADS):
        write_result(
            comparison(done, file_name(given, "comparison")), comparison_markdown, folder=given.out
        )
    left_out = any("left_out" in arm for document in done for arm in document["arms"].values())
    return 1 if left_out or len(done) < len(given.workloads) else 0


if __name__ == "__main__":
    sys.exit(main())
