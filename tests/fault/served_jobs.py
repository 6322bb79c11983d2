"""Servers that take jobs, and jobs that take a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.interop.live import AT_ONCE, Live, eventually

ROWS = 600
SLOW_S = 0.004
"""What a row takes; a whole job takes a few seconds."""

MODEL = f'''
import time

from penstock import InvalidInput, Model


class Doubler(Model):
    """Twice what it is given; takes a while over it, and over -1 for ever."""

    def predict(self, x: list[float]) -> list[float]:
        time.sleep({SLOW_S} * len(x))
        if -1.0 in x:
            time.sleep(600)
        if -2.0 in x:
            raise InvalidInput(x.index(-2.0), "minus two")
        return [2 * value for value in x]
'''
_CHILD = "penstock.app.jobs.served.child"


class JobServer(Live):
    """A server with a jobs folder.

    Attributes:
        folder: of the test.
        jobs_folder: the server's.
    """

    def __init__(self, folder: Path, *args: str) -> None:
        model = folder / "models" / "doubler"
        (model / "1").mkdir(parents=True, exist_ok=True)
        (model / "1" / "model.py").write_text(MODEL)
        (model / "model.yaml").write_text("max_batch_size: 8\n")
        self.folder = folder
        self.jobs_folder = folder / "jobs"
        settings = ["--set", f"jobs.folder={self.jobs_folder}"]
        settings += ["--set", f"jobs.roots={folder / 'data'}", "--set", "jobs.niceness=0"]
        super().__init__([folder / "models"], *AT_ONCE, *settings, *args, folder=folder)

    def upload(self, content: bytes, headers: Mapping[str, str] | None = None, **query: str) -> Any:
        told = {"model": "doubler", "format": "csv", **query}
        text = "&".join(f"{name.replace('__', '.')}={value}" for name, value in told.items())
        with self.rest() as rest:
            return rest.ask("POST", f"/v2/jobs?{text}", content, headers)

    def submit(self, job_id: str, **fields: Any) -> Any:
        """A job by reference, of ``data/in.csv``."""
        data = self.folder / "data"
        told = {
            "id": job_id,
            "model": "doubler",
            "input": {"format": "csv", "path": str(data / "in.csv")},
            "output": {"format": "csv", "path": str(data / f"out-{job_id}")},
            "batch_size": 8,
            "split_rows": 50,
            **fields,
        }
        return self.ask("POST", "/v2/jobs", told)

    def job(self, job_id: str) -> Any:
        return self.ask("GET", f"/v2/jobs/{job_id}").json()

    def wait_state(self, job_id: str, *states: str, timeout_s: float = 40.0) -> Any:
        eventually(lambda: self.job(job_id)["state"] in states, timeout_s, every_s=0.05)
        return self.job(job_id)

    def wait_rows(self, job_id: str, rows: int) -> None:
        eventually(lambda: self.job(job_id)["progress"]["rows"] >= rows, 40, every_s=0.02)


def csv_of(values: Sequence[float]) -> bytes:
    """Rows ``id,x``."""
    lines = [f"{number},{value}" for number, value in enumerate(values)]
    return "\n".join(["id,x", *lines, ""]).encode()


def put_input(folder: Path, values: Sequence[float]) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "in.csv").write_bytes(csv_of(values))


def job_processes(server_pid: int) -> list[psutil.Process]:
    """The processes of jobs below a server."""
    found = psutil.Process(server_pid).children(recursive=True)
    return [one for one in found if _CHILD in _command(one)]


def contents(output: Path) -> list[bytes]:
    """What the parts of an output hold, whatever they are called."""
    return sorted(parts_of(output).values())


def parts_of(output: Path) -> dict[str, bytes]:
    """The files of an output."""
    return {path.name: path.read_bytes() for path in output.glob("part-*")}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
