"""A model that misbehaves when asked to, in a process, and how to ask it."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import penstock
from penstock.app.embedded import Models
from tests.interop.live import tensor

MODEL = """
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import penstock
import penstock.core.errors
from penstock import InvalidInput, Rows


class Actor(penstock.Model):
    def load(self, context):
        self.context = context
        self.hoard = []

    def predict(self, x: Rows["FP32", -1], do: Rows["BYTES"]) -> Rows["FP32", -1]:
        do = do[0].decode()
        if do == "exit":
            os._exit(7)
        if do == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "hang":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(600)
        if do == "gate":
            (self.context.path / "begun").touch()
            while not (self.context.path / "open").exists():
                time.sleep(0.005)
        if do == "count":
            self.hoard.append(None)
            return x * 0 + len(self.hoard)
        if do == "late":
            time.sleep(0.4)
        if do == "leak":
            while True:
                self.hoard.append(bytearray(b"x" * 2_000_000))
                time.sleep(0.001)
        if do == "fork":
            if os.fork() == 0:
                time.sleep(600)
        if do == "spawn":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if do == "print":
            print("said on stdout")
            print("said on stderr", file=sys.stderr)
        if do == "raise":
            raise ValueError("out of luck")
        if do == "rows":
            return x[:0]
        if do == "type":
            return "text"
        if do == "refuse":
            raise InvalidInput(0, "this row is bad")
        if do == "garbage":
            os.write(int(sys.argv[1]), b"\\xff" * 64)
            time.sleep(600)
        if do == "truncate":
            for fd in Path("/proc/self/fd").iterdir():
                if fd.exists() and "memfd:penstock" in os.readlink(fd):
                    os.truncate(fd, 0)
        if do == "chat":
            while True:
                logging.warning("again")
        if do == "announce":
            os.write(int(sys.argv[1]), (2**35).to_bytes(12, "little"))
            time.sleep(600)
        if do == "odd":
            logging.warning("two %s %s", 1)
            logging.warning("a name \\udc80")
        if do == "crash error":
            raise penstock.core.errors.ModelCrashed("not really")
        if do == "pid":
            return x * 0 + os.getpid()
        if do == "once":
            marker = self.context.path / f"seen-{int(x[0, 0])}"
            if not marker.exists():
                marker.touch()
                os._exit(8)
        return x * 2
"""


def save(root: Path, name: str = "actor", source: str = MODEL, **instances: Any) -> Path:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(textwrap.dedent(source))
    manifest = {"instances": {"kind": "process", **instances}}
    (folder.parent / "model.yaml").write_text(json.dumps(manifest))
    return root


@asynccontextmanager
async def serving(root: Path, **settings: Any) -> AsyncIterator[Models]:
    given = {"model_control": "none", "lifecycle.load_attempts": 1, **settings}
    async with penstock.serving(root, settings=given) as models:
        yield models


async def ask(models: Models, do: str = "", value: float = 1, timeout_s: float = 20.0) -> float:
    """Ask the actor to do something; its answer is twice the value."""
    outputs = await models.infer(
        "actor", timeout_s=timeout_s, do=[do], x=np.full((1, 4), value, np.float32)
    )
    (array,) = outputs.values()
    return float(array[0, 0])


def workers() -> list[psutil.Process]:
    """The worker processes of this test's process."""
    children = psutil.Process().children(recursive=True)
    return [p for p in children if any("process.worker" in part for part in command(p))]


def command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def until(check: Any, timeout_s: float = 20.0) -> None:
    """Look again and again."""
    async with asyncio.timeout(timeout_s):
        while not check():  # noqa: ASYNC110  # no event tells of another process
            await asyncio.sleep(0.01)


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def request(do: str = "") -> list[dict[str, Any]]:
    return [tensor("x", "FP32", [1, 1], [1.0]), tensor("do", "BYTES", [1], [do])]
