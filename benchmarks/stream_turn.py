"""One turn of an arm of the streams benchmark: full load, then half of that."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.arms.arm import ArmError
from benchmarks.places import BENCHMARKS, PENSTOCK, PYTHON, ROOT, venv_python
from benchmarks.processes import ServerProcess, cpu_seconds
from benchmarks.stream_brokers import BROKERS, Broker, start_broker

PROGRAMS = BENCHMARKS / "stream_arms"
_LOOK_S = 0.01
_LIMIT_S = 120.0
_SPEC = """
name: bench
{doors}
model: {{path: {model}}}
keep: [at]
{options}
"""


class Load(msgspec.Struct, frozen=True):
    """What is sent.

    Attributes:
        model: "tweets" or "tiny".
        folder: the version's, in the model's own.
        rows: a file of JSON lines.
        records: how many fill the stream.
        latency_s: how long half of the load goes on; 0: it is left out.
    """

    model: str
    folder: Path
    rows: Path
    records: int
    latency_s: float


class StreamArm(msgspec.Struct, frozen=True):
    """One consumer.

    Attributes:
        label: its name.
        broker: "redis", "nats" or "faststream".
        workers: of FastStream.
        options: of STREAM.yaml.
        part: of the records, for one that would take too long.
    """

    label: str
    broker: str
    workers: int = 0
    options: str = ""
    part: float = 1.0


def floor_turn(kind: str, load: Load, rows: Path, sizes: tuple[int, int]) -> dict[str, float]:
    """Have the engine alone answer these rows, `sizes` being rows a batch and threads; see
    `stream_arms/engine.py`. Raises ArmError.
    """
    command = [PYTHON, PROGRAMS / "engine.py", kind, load.model, load.folder, rows]
    command += map(str, sizes)
    found: dict[str, float] = json.loads(_output(command))
    return found


def take_turn(arm: StreamArm, load: Load, folder: Path) -> dict[str, float]:
    """Fill a new broker's stream, run the arm until all is answered, then at half of that rate.

    Raises ArmError when it does not get done.
    """
    folder.mkdir(parents=True)
    server, url = start_broker(arm.broker, folder)
    consumer = ServerProcess(_command(arm, load, url, folder), folder / "log", folder=ROOT)
    try:
        figures = asyncio.run(_full_load(arm, load, BROKERS[arm.broker](url), (consumer, server)))
        if load.latency_s:
            figures |= _half_load(arm, load, url, figures["rate"] / 2)
        return figures
    finally:
        consumer.stop()
        server.stop()


def _command(arm: StreamArm, load: Load, url: str, folder: Path) -> list[str]:
    if arm.workers:
        program = [str(venv_python("faststream")), str(PROGRAMS / "faststream_app.py")]
        return [*program, load.model, str(load.folder), url, str(arm.workers)]
    doors = BROKERS[arm.broker].doors.format(url=url)
    spec = folder / "stream.yaml"
    spec.write_text(_SPEC.format(doors=doors, model=load.folder.parent, options=arm.options))
    return [str(PENSTOCK), "stream", "run", str(spec), "--log-level", "warning"]


async def _full_load(
    arm: StreamArm, load: Load, broker: Broker, processes: tuple[ServerProcess, ServerProcess]
) -> dict[str, float]:
    consumer, server = processes
    await broker.open()
    lines = load.rows.read_bytes().splitlines()
    total = int(load.records * arm.part)
    await broker.send([lines[number % len(lines)] for number in range(total)])
    consumer.start()
    first, at = await _until(broker, total // 10, consumer)
    cpu, broker_cpu = cpu_seconds(consumer.tree()), cpu_seconds(server.tree())
    last, ended = await _until(broker, total, consumer)
    thousands = (last - first) / 1000
    await broker.close()
    return {
        "rate": (last - first) / (ended - at),
        "cpu_s_per_1000": (cpu_seconds(consumer.tree()) - cpu) / thousands,
        "broker_cpu_s_per_1000": (cpu_seconds(server.tree()) - broker_cpu) / thousands,
    }


async def _until(broker: Broker, count: int, consumer: ServerProcess) -> tuple[int, float]:
    """Wait for so many answers; return how many there are, and when."""
    give_up = time.monotonic() + _LIMIT_S
    while time.monotonic() < give_up and consumer.exited() is None:
        found = await broker.answered()
        if found >= count:
            return found, time.perf_counter()
        await asyncio.sleep(_LOOK_S)
    raise ArmError(f"{await broker.answered()} answers of {count}:\n{consumer.log_tail()}")


def _half_load(arm: StreamArm, load: Load, url: str, rate: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.stream_client", arm.broker, url]
    told = json.loads(_output([*command, str(rate), str(load.latency_s), load.rows]))
    if told["missing"]:
        raise ArmError(f"{arm.label}: {told['missing']} answers do not come")
    return {
        "half_rate": told["rate"],
        "p50_ms": told["p50_ms"],
        "p99_ms": told["p99_ms"],
        "send_p99_ms": told["send_p99_ms"],
    }


def _output(command: list[str | Path]) -> str:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as err:
        raise ArmError(f"{err}\n{err.stderr}") from err
    return done.stdout.splitlines()[-1]
