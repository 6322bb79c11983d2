"""A live ``penstock serve`` in a process of its own, and what tests need to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

PENSTOCK = str(Path(sys.executable).parent / "penstock")
HOST = "127.0.0.1"
AT_ONCE = ("--set", "watch.settle_s=0")
"""Files count from the moment they are there."""


def eventually(check: Callable[[], T], timeout_s: float = 15.0, every_s: float = 0.02) -> T:
    """What ``check`` returns once that is true; asks again and again until then, in bounds."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout_s:g} s: {check}")
        time.sleep(every_s)


def free_ports(count: int) -> list[int]:
    """TCP ports that are free now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Reply(NamedTuple):
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        text = self.json()["error"]
        assert isinstance(text, str)
        return text


class Rest:
    """One keep-alive HTTP connection."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self.connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request; a body that is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.connection.request(method, path, body, dict(headers or {}))
        answer = self.connection.getresponse()
        data = answer.read()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)

    def infer(self, model: str, *inputs: Any, **more: Any) -> Reply:
        """Ask a model; ``inputs`` are from ``tensor``."""
        return self.ask("POST", f"/v2/models/{model}/infer", {"inputs": list(inputs), **more})


def tensor(name: str, datatype: str, shape: Sequence[int], data: Any) -> dict[str, Any]:
    """One input of a JSON request."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def text_input(*texts: str, name: str = "text") -> dict[str, Any]:
    """A BYTES input of some texts."""
    return tensor(name, "BYTES", [len(texts)], list(texts))


def seconds_input(seconds: float) -> dict[str, Any]:
    """What the model ``slow`` takes."""
    return tensor("seconds", "FP64", [1], [seconds])


class Live:
    """A running server.

    Attributes:
        http_port: its REST port.
        grpc_port: its gRPC port.
        process: the process.
    """

    def __init__(self, paths: Sequence[str | Path], *args: str, folder: Path) -> None:
        self.http_port, self.grpc_port = free_ports(2)
        self.log = folder / f"server-{self.http_port}.log"
        command = [PENSTOCK, "serve", *map(str, paths), "--host", HOST]
        command += ["--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *args], stdout=log, stderr=log, cwd=folder, env=clean_environ()
            )

    def __enter__(self) -> Live:
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.http_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def grpc_address(self) -> str:
        return f"{HOST}:{self.grpc_port}"

    def rest(self, timeout_s: float = 30.0) -> Rest:
        return Rest(self.http_port, timeout_s)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own."""
        with self.rest() as rest:
            return rest.ask(
                method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
            )

    def infer(self, model: str, *inputs: Any, **more: Any) -> Reply:
        """One inference on a connection of its own."""
        with self.rest() as rest:
            return rest.infer(model, *inputs, **more)

    def text_answer(self, model: str, *texts: str) -> Any:
        """The texts a model answers."""
        reply = self.infer(model, text_input(*texts))
        return reply.json()["outputs"][0]["data"] if reply.status == 200 else reply.error

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_answers(self) -> None:
        """Wait until the HTTP port answers, ready or not."""
        self._wait("/livez")

    def wait_ready(self) -> None:
        """Wait until everything that should serve does."""
        self._wait("/readyz")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            head, _, value = line.rpartition(" ")
            has_labels = all(f'{k}="{v}"' in head for k, v in labels.items())
            if head.partition("{")[0] == name and has_labels:
                total += float(value)
        return total

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 15.0) -> int:
        """The exit code, once there is one."""
        return self.process.wait(timeout_s)

    def stop(self) -> None:
        """End the server, by force where asking does not help."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def _wait(self, path: str) -> None:
        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log_text()}")
            try:
                return self.ask("GET", path).status == 200
            except OSError:
                return False

        try:
            eventually(answers, 30)
        except AssertionError as err:
            raise AssertionError(f"{err}; its log: {self.log_text()[-4000:]}") from err


def clean_environ() -> dict[str, str]:
    """The environment without settings of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}


def run_cli(*args: str | Path, cwd: Path, timeout_s: float = 30.0) -> Any:
    """Run ``penstock`` to its end."""
    return subprocess.run(
        [PENSTOCK, *map(str, args)],
        cwd=cwd,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
