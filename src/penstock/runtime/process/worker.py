"""The worker: a process that holds one copy of a model and computes what its server asks.

Run by the server as ``python -m penstock.runtime.process.worker FD``. One thread, one request at a
time; it ends when the server's end of the socket closes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from penstock.core.clock import SystemClock
from penstock.core.errors import LoadFailed, ModelFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest_shape import to_manifest
from penstock.runtime.executable import Executable
from penstock.runtime.instance import Execution, Work, execute_safely
from penstock.runtime.process.frame import (
    PROTOCOL_VERSION,
    BadFrame,
    Execute,
    Executed,
    Failed,
    Hello,
    Load,
    Loaded,
    Ping,
    Pong,
    ToWorker,
)
from penstock.runtime.process.tensor_block import pack, shared_bytes, unpack
from penstock.runtime.process.wire_error import error_out
from penstock.runtime.process.worker_channel import WorkerChannel
from penstock.runtime.process.worker_client import WorkerClient
from penstock.runtime.process.worker_logs import send_logs_to
from penstock.runtime.runtime import find_runtime

_log = logging.getLogger("penstock.runtime")


class Worker:
    """One copy of a model at the other end of a channel."""

    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._id = ServableId("", 0)
        self._executable: Executable | None = None
        self._now_ns = SystemClock().monotonic_ns

    def serve(self) -> None:
        """Do what comes until the server has gone."""
        self._channel.send(Hello(PROTOCOL_VERSION, version("penstock")))
        while (received := self._channel.receive()) is not None:
            self._handle(*received)
        if self._executable is not None:
            self._executable.close()

    def _handle(self, message: ToWorker, body: memoryview) -> None:
        if isinstance(message, Execute):
            self._execute(message, body)
        elif isinstance(message, Ping):
            self._channel.send(Pong())
        elif isinstance(message, Load):
            self._load(message)

    def _load(self, message: Load) -> None:
        self._id = ServableId(message.name, message.version)
        try:
            _limit(message)
            artifact = _artifact(message)
            runtime = find_runtime(artifact.runtime)
            self._executable = runtime.load(artifact, WorkerClient(self._channel))
            signature = self._executable.signature
        except PenstockError as err:
            if isinstance(err, LoadFailed) and err.culprit is not None:
                _log.error("%s", err.message, exc_info=err.culprit)
            self._channel.send(Failed(error_out(err)))
        except Exception as err:  # noqa: BLE001  # the edge to the framework
            _log.exception("%s: loading the model raised", self._id)
            text = f"{self._id}: loading the model raised {type(err).__name__}: {err}"
            self._channel.send(Failed(error_out(LoadFailed(text))))
        else:
            self._channel.send(Loaded(signature, runtime.platform))

    def _execute(self, message: Execute, body: memoryview) -> None:
        if self._executable is None:
            raise BadFrame("a batch before the model")
        channel = self._channel
        channel.map_segments(message)
        inputs = unpack(message.tensors, body, channel.segment(message.input_segment))
        execution = execute_safely(
            self._id,
            self._executable,
            Work(inputs, message.parameters, message.deadline_ns),
            self._now_ns,
        )
        try:
            self._answer(execution, message.output_segment)
        except Exception as err:  # noqa: BLE001  # a runtime's answer may be anything
            _log.exception("%s: its answer could not be sent", self._id)
            text = f"{self._id}: its answer could not be sent: {type(err).__name__}: {err}"
            self._refuse(ModelFailed(text, is_reported=True), execution)

    def _answer(self, execution: Execution, segment_id: int) -> None:
        result = execution.result
        if isinstance(result, PenstockError):
            self._refuse(result, execution)
            return
        wanted_bytes = shared_bytes(result.outputs)
        segment = self._channel.segment(segment_id)
        if segment is not None and len(segment) < wanted_bytes:
            segment = None
        packed = pack(result.outputs, segment)
        invalid = {row: error_out(err) for row, err in result.invalid.items()}
        self._channel.send(
            Executed(
                packed.heads,
                invalid,
                None,
                execution.started_ns,
                execution.ended_ns,
                segment_bytes=wanted_bytes,
            ),
            packed,
        )

    def _refuse(self, error: PenstockError, execution: Execution) -> None:
        times = (execution.started_ns, execution.ended_ns)
        self._channel.send(Executed([], {}, error_out(error), *times))


def main(fd: int) -> None:
    """Serve the socket of this number until its other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it ends
    channel = WorkerChannel(socket.socket(fileno=fd))
    send_logs_to(channel)
    Worker(channel).serve()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that the model left behind keeps nobody waiting


def _artifact(message: Load) -> ArtifactRef:
    return ArtifactRef(
        id=ServableId(message.name, message.version),
        path=Path(message.path),
        root=Path(message.root),
        runtime=message.runtime,
        class_name=message.class_name,
        manifest=to_manifest(message.manifest),
        num_bytes=message.num_bytes,
        revision=message.revision,
    )


def _limit(message: Load) -> None:
    """Take only the processors it may have, and be the first to go where memory runs out."""
    if message.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, message.cpus)
    try:
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")
    except OSError:
        _log.debug("no /proc/self/oom_score_adj here")


if __name__ == "__main__":
    main(int(sys.argv[1]))
