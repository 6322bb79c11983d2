"""One workload over several rounds, in each of which every arm has its turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.arms.arm import ArmError
from benchmarks.arms.registry import ARMS
from benchmarks.load.wrk import LoadError
from benchmarks.places import without_root
from benchmarks.turn import Turn
from benchmarks.workloads.floors import Floor

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.settings import Settings
    from benchmarks.workloads.workload import Workload

FLOOR = "floor"
NAMES = [FLOOR, *ARMS]


class Rounds:
    """Runs the arms over rounds and keeps what each said.

    `results` holds, by arm, `rounds` (what each turn found), `note`, `versions` and, where they
    hold, `cannot` (why the arm does not do this workload) and `left_out`: an arm that cannot
    start or answers wrongly is left out from then on, with the reason.
    """

    def __init__(
        self, workload: Workload, names: list[str], settings: Settings, folder: Path
    ) -> None:
        self._workload = workload
        self._names = names
        self._settings = settings
        self._plan = settings.plan(workload.name)
        self._folder = folder
        self.floor = Floor(workload)
        self.results: dict[str, dict] = {name: {"rounds": []} for name in names}

    def run(self) -> dict[str, dict]:
        """Run all rounds; round n starts with another arm than round n-1. Returns `results`."""
        for number in range(self._plan.rounds):
            turn = number % len(self._names)
            for name in self._names[turn:] + self._names[:turn]:
                if {"left_out", "cannot"} & set(self.results[name]):
                    continue
                started = time.perf_counter()
                self._one_arm(name)
                took = time.perf_counter() - started
                about = f"{self._workload.name} round {number + 1} {name}: {took:.0f} s"
                print(f"{about} {self._brief(name)}", flush=True)
        return self.results

    def _one_arm(self, name: str) -> None:
        result = self.results[name]
        try:
            if name == FLOOR:
                result["rounds"].append(self.floor.round(self._plan.duration_s))
                result["note"] = self.floor.note
                return
            arm = ARMS[name](self._workload, self._folder / self._workload.name / name)
            reason = arm.why_not()
            if reason is not None:
                result["cannot"] = reason
                return
            result["note"] = arm.note
            result["rounds"].append(Turn(arm, self._plan, self._settings).take())
            result.setdefault("versions", arm.versions())
        except (ArmError, LoadError, FileNotFoundError, RuntimeError) as error:
            result["left_out"] = without_root(str(error))
            print(f"LEFT OUT {name}: {error}", flush=True)

    def _brief(self, name: str) -> str:
        """Return the rates of the arm's latest turn, for the person who watches."""
        if not self.results[name]["rounds"]:
            return ""
        latest = self.results[name]["rounds"][-1]
        rates = [f"{key}: {rate:.0f}/s" for key, rate in latest.get("items_s", {}).items()]
        for encoding, loads in latest.get("closed", {}).items():
            rates += [f"{encoding} {key}: {load['req_s']:.0f}/s" for key, load in loads.items()]
        rates += [f"NO {key}" for key in latest.get("errors", {})]
        return ", ".join(rates)
