"""Workload `tiny`: the digits classifier, where the server and not the model sets the pace."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm, ArmError
from benchmarks.arms.floor import LABEL as FLOOR
from benchmarks.arms.floor import NOTE as FLOOR_NOTE
from benchmarks.arms.floor import measure_floor
from benchmarks.arms.registry import ARMS
from benchmarks.load.h2load import run_h2load
from benchmarks.load.open_loop import run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import LoadError, run_wrk
from benchmarks.messages import PIXELS, Answer, digits_infer_request, grpc_frame
from benchmarks.places import PYTHON, digits_repository, newest_onnx, without_root
from benchmarks.processes import PeakMemory, cpu_seconds, memory_mib

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.settings import Settings

NAMES = [FLOOR, *ARMS]

_EXPECTED = """
import json, sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feed = {"pixels": numpy.array([json.loads(sys.argv[2])], numpy.float32)}
label, odds = session.run(["label", "probabilities"], feed)
print(json.dumps([int(label[0]), odds[0].tolist()]))
"""


def expected_answer(onnx: Path) -> Answer:
    """Return what the model itself says of the benchmark's image."""
    command = [str(PYTHON), "-c", _EXPECTED, str(onnx), json.dumps(PIXELS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    label, odds = json.loads(done.stdout)
    return Answer(label, tuple(odds))


class TinyWorkload:
    """Runs the arms over rounds and keeps what each said.

    An arm that cannot start or answers wrongly is left out from then on, with its reason.
    """

    def __init__(self, settings: Settings, names: list[str], folder: Path) -> None:
        self._settings = settings
        self._names = names
        self._folder = folder
        self._onnx = newest_onnx(digits_repository())
        self._expected = expected_answer(self._onnx)
        self.results: dict[str, dict] = {name: {"rounds": []} for name in names}

    def run(self) -> dict[str, dict]:
        """Run all rounds; round n starts with another arm than round n-1. Returns the results."""
        for number in range(self._settings.rounds):
            turn = number % len(self._names)
            for name in self._names[turn:] + self._names[:turn]:
                if "left_out" in self.results[name]:
                    continue
                started = time.perf_counter()
                self._one_arm(name)
                took = time.perf_counter() - started
                print(f"round {number + 1} {name}: {took:.0f} s {self._brief(name)}", flush=True)
        return self.results

    def _one_arm(self, name: str) -> None:
        result = self.results[name]
        try:
            if name == FLOOR:
                result["note"] = FLOOR_NOTE
                result["rounds"].append(self._floor_round())
                return
            arm = ARMS[name](self._onnx, self._folder / name)
            result["note"] = arm.note
            result["rounds"].append(self._server_round(arm, result))
        except (ArmError, LoadError, FileNotFoundError, RuntimeError) as error:
            result["left_out"] = without_root(str(error))
            print(f"LEFT OUT {name}: {error}", flush=True)

    def _brief(self, name: str) -> str:
        if not self.results[name]["rounds"]:
            return ""
        latest = self.results[name]["rounds"][-1]
        loads = latest.get("closed", {}) or latest.get("grpc", {})
        return " ".join(f"{key}: {load['req_s']:.0f}/s" for key, load in loads.items())

    def _floor_round(self) -> dict:
        duration_s = self._settings.duration_s
        return {
            "items_s": {
                str(batch): measure_floor(self._onnx, batch, duration_s) for batch in (1, 32)
            }
        }

    def _server_round(self, arm: Arm, result: dict) -> dict:
        try:
            arm.start()
            found: dict = {"ready_s": arm.wait_ready()}
            arm.check_answer(self._expected)
            result.setdefault("versions", arm.versions())
            assert arm.server is not None
            with PeakMemory(arm.server) as memory:
                if arm.speaks_http:
                    self._http_loads(arm, found)
                if arm.speaks_grpc:
                    self._grpc_loads(arm, found)
                arm.check_answer(self._expected)
                found["pss_mib"] = memory_mib(arm.server.tree())[1]
            found["peak_rss_mib"] = memory.peak_rss_mib
            return found
        finally:
            arm.stop()

    def _http_loads(self, arm: Arm, found: dict) -> None:
        settings = self._settings
        folder = write_requests(arm.folder / "requests", [arm.request()])
        assert arm.server is not None
        run_wrk(arm.http_port, folder, settings.peak_connections, settings.warm_up_s)
        closed = found["closed"] = {}
        for connections in settings.connections:
            before_s = cpu_seconds(arm.server.tree())
            load = run_wrk(arm.http_port, folder, connections, settings.duration_s)
            used_s = cpu_seconds(arm.server.tree()) - before_s
            load["cpu_s_per_1000"] = used_s / max(1, load["requests"]) * 1000
            closed[str(connections)] = load
        peak = closed[str(settings.peak_connections)]["req_s"]
        rates = {f"{share:.0%} of own peak": share * peak for share in settings.open_shares}
        rates[f"{settings.common_rate:.0f}/s"] = settings.common_rate
        found["open"] = {}
        for key, rate in rates.items():
            if rate < 1:
                continue
            load = run_open_loop(
                arm.http_port,
                folder,
                min(rate, settings.open_ceiling),
                settings.duration_s,
                connections=settings.open_connections,
                arrivals=settings.arrivals,
            )
            load["capped"] = rate > settings.open_ceiling
            found["open"][key] = load

    def _grpc_loads(self, arm: Arm, found: dict) -> None:
        settings = self._settings
        frame = arm.folder / "request.frame"
        frame.write_bytes(grpc_frame(digits_infer_request()))
        answer_bytes = len(grpc_frame(arm.call_grpc()))
        assert arm.server is not None
        run_h2load(arm.grpc_port, frame, settings.streams[-1], settings.warm_up_s, answer_bytes)
        grpc = found["grpc"] = {}
        for streams in settings.streams:
            before_s = cpu_seconds(arm.server.tree())
            load = run_h2load(arm.grpc_port, frame, streams, settings.duration_s, answer_bytes)
            used_s = cpu_seconds(arm.server.tree()) - before_s
            load["cpu_s_per_1000"] = used_s / max(1, load["requests"]) * 1000
            grpc[str(streams)] = load
