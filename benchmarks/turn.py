"""One arm's turn at a workload: started, checked, loaded, weighed and stopped."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from benchmarks.load.h2load import Calls, run_h2load
from benchmarks.load.open_loop import CEILING, run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.processes import PeakMemory, cores_used, cpu_seconds, memory_mib, settle
from benchmarks.protobuf import grpc_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.arms.contender import Contender
    from benchmarks.settings import Plan, Settings
    from benchmarks.workloads.workload import Tensors


START_S = 2.0  # at most, for what a server still does after its first answer
IDLE_S = 0.5  # how long an idle server is watched


class Turn:
    """Loads one running arm as the plan of its workload says.

    `found` is the turn's record: `closed` and `open`, each by encoding and then by load, `errors`
    (loads that could not be made), start_s, idle_cores (CPU use without requests), and the memory
    of the process tree in MiB: when ready and idle, at rest after the loads, and the peak.
    """

    def __init__(self, arm: Contender, plan: Plan, settings: Settings) -> None:
        self._arm = arm
        self._plan = plan
        self._settings = settings
        self.found: dict = {"closed": {}, "open": {}, "errors": {}}

    def take(self) -> dict:
        """Run the whole turn and return `found`. Raises ArmError when the arm cannot take part."""
        arm, found = self._arm, self.found
        try:
            arm.start()
            found["start_s"] = arm.wait_first_answer()
            arm.check()
            settle(arm.tree(), START_S)
            found["idle_cores"] = cores_used(arm.tree(), IDLE_S)
            found["rss_idle_mib"], found["pss_idle_mib"] = memory_mib(arm.tree())
            with PeakMemory(arm) as memory:
                self._loads()
                arm.check()
            self._settle()
            found["rss_after_mib"], found["pss_after_mib"] = memory_mib(arm.tree())
            found["peak_rss_mib"] = memory.peak_rss_mib
            return found
        finally:
            arm.stop()

    def _loads(self) -> None:
        speaks = self._arm.encodings()
        encodings = [name for name in self._arm.workload.encodings if name in speaks]
        rest = [name for name in encodings if name in self._plan.rest]
        for encoding in rest:
            folder = self._requests(encoding)
            self._closed_rest(encoding, folder)
            if encoding == rest[0]:
                self._open(encoding, folder)
        if "grpc" in encodings:
            self._closed_grpc()

    def _requests(self, encoding: str) -> Path:
        arm = self._arm
        requests = [arm.http_request(encoding, sample) for sample in arm.workload.samples]
        return write_requests(arm.folder / f"requests-{encoding}", requests)

    def _settle(self) -> None:
        settle(self._arm.tree(), at_rest=self.found["idle_cores"])

    def _warm(self, load: Callable[[], dict]) -> None:
        """Run a load that nobody looks at, and wait until the server rests."""
        with contextlib.suppress(LoadError):
            load()
        self._settle()

    def _record(self, kind: str, encoding: str, key: str, load: Callable[[], dict]) -> None:
        """Run one load, with the server's CPU time beside it, and wait until the server rests."""
        before_s = cpu_seconds(self._arm.tree())
        try:
            found = load()
            if found.get("req_s", 1) <= 0:
                raise LoadError("not one good answer")
        except LoadError as error:
            self.found["errors"][f"{kind} {encoding} {key}"] = str(error)
        else:
            used_s = cpu_seconds(self._arm.tree()) - before_s
            found["cpu_s_per_1000"] = used_s / max(1, found["requests"]) * 1000
            self.found[kind].setdefault(encoding, {})[key] = found
        self._settle()

    def _closed_rest(self, encoding: str, folder: Path) -> None:
        plan, port = self._plan, self._arm.http_port
        self._warm(lambda: run_wrk(port, folder, plan.peak_connections, plan.warm_up_s))
        for connections in plan.rest[encoding]:
            self._record(
                "closed",
                encoding,
                str(connections),
                lambda count=connections: run_wrk(port, folder, count, plan.duration_s),
            )

    def _open(self, encoding: str, folder: Path) -> None:
        plan = self._plan
        closed = self.found["closed"].get(encoding, {}).get(str(plan.peak_connections))
        peak = closed["req_s"] if closed else 0.0
        rates = {f"{share:.0%} of own peak": share * peak for share in plan.open_shares}
        rates[f"{plan.common_rate:.0f}/s"] = plan.common_rate
        for key, rate in rates.items():
            if rate >= 1:
                self._record("open", encoding, key, lambda rate=rate: self._at_rate(rate, folder))

    def _at_rate(self, rate: float, folder: Path) -> dict:
        found = run_open_loop(
            self._arm.http_port,
            folder,
            min(rate, CEILING),
            self._plan.duration_s,
            connections=self._settings.open_connections,
            arrivals=self._settings.arrivals,
        )
        return {**found, "capped": rate > CEILING}

    def _closed_grpc(self) -> None:
        arm, plan = self._arm, self._plan
        call = arm.grpc_call(middle_sample(arm.workload.samples))
        frame = arm.folder / "request.frame"
        frame.write_bytes(grpc_frame(call.message))
        size = len(grpc_frame(arm.call_bytes(call)))
        calls = Calls(arm.grpc_port, call.path, frame, size)
        self._warm(lambda: run_h2load(calls, 1, plan.peak_connections, plan.warm_up_s))
        for connections, streams in plan.grpc:
            self._record(
                "closed",
                "grpc",
                f"{connections}x{streams}",
                lambda c=connections, m=streams: run_h2load(calls, c, m, plan.duration_s),
            )


def middle_sample(samples: tuple[Tensors, ...]) -> Tensors:
    """Return the sample of middle size: h2load sends one body only."""
    ordered = sorted(samples, key=lambda sample: sum(array.nbytes for array in sample.values()))
    return ordered[len(ordered) // 2]
