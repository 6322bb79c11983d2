"""Run the benchmarks: ``.venv/bin/python -m benchmarks.run`` from the repository root.

Writes benchmarks/results/NAME.json, .md and .svg. `--quick` shows in a minute or two that all arms
work; its figures are no evidence.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.report import summarise, tiny_markdown, write_result
from benchmarks.settings import Settings
from benchmarks.tiny import NAMES, TinyWorkload
from benchmarks.venvs import install_tools


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; exits with a message on a wrong one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=("tiny", "compute", "all"), default="all")
    parser.add_argument("--arms", default=",".join(NAMES), help="of the tiny workload, commas")
    parser.add_argument("--rounds", type=int, help="default 5, 1 with --quick")
    parser.add_argument("--duration", type=float, help="seconds a load; default 5, 1 with --quick")
    parser.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--name", help="of the result files; default the workload's name")
    given = parser.parse_args(arguments)
    given.arms = [name for name in given.arms.split(",") if name]
    unknown = sorted(set(given.arms) - set(NAMES))
    if unknown:
        parser.error(f"unknown arm {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return given


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


def run_tiny(given: argparse.Namespace, settings: Settings, folder: Path) -> bool:
    """Run the tiny workload and write its files; False when an arm was left out."""
    suffix = "-quick" if given.quick else ""
    document = {
        **machine.heading_fields(f"{given.name or 'tiny'}{suffix}", "tiny"),
        "settings": settings.as_json(),
        "how": settings.in_words(),
    }
    arms = TinyWorkload(settings, given.arms, folder).run()
    for arm in arms.values():
        if arm["rounds"]:
            arm["summary"] = summarise(arm["rounds"])
    document["arms"] = arms
    document["load_average_at_end"] = machine.describe()["load_average_at_start"]
    write_result(document, tiny_markdown)
    return not any("left_out" in arm for arm in arms.values())


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 0, 1 when an arm was left out, 130 when interrupted."""
    given = parse(arguments)
    settings = settings_of(given)
    signal.signal(signal.SIGTERM, _interrupt)
    install_tools()
    complete = True
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            if given.workload in ("tiny", "all"):
                complete &= run_tiny(given, settings, Path(folder))
            if given.workload in ("compute", "all"):
                from benchmarks.compute import run_compute

                complete &= run_compute(given, settings, Path(folder))
    except KeyboardInterrupt:
        print("interrupted; servers are stopped", file=sys.stderr)
        return 130
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
