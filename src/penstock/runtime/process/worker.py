"""The worker: a process that holds one copy of a model and computes what its server asks.

Run by the server as ``python -m penstock.runtime.process.worker FD``. One thread, one request at a
time; it ends when the server's end of that socket closes. Several serving processes may share it,
each with a socket of its own.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from penstock.core.clock import SystemClock
from penstock.core.errors import LoadFailed, ModelFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.runtime.executable import Executable
from penstock.runtime.instance import Execution, Work, execute_safely
from penstock.runtime.process.channel_ring import ChannelRing
from penstock.runtime.process.frame import (
    PROTOCOL_VERSION,
    Attach,
    BadFrame,
    Execute,
    Executed,
    Failed,
    Hello,
    Load,
    Loaded,
    Ping,
    Pong,
    Share,
)
from penstock.runtime.process.load_message import artifact_of
from penstock.runtime.process.state_file import StateFile, WorkerState
from penstock.runtime.process.tensor_block import pack, shared_bytes, unpack
from penstock.runtime.process.wire_error import error_out
from penstock.runtime.process.worker_channel import Received, WorkerChannel
from penstock.runtime.process.worker_client import WorkerClient
from penstock.runtime.process.worker_logs import send_logs_to
from penstock.runtime.process.worker_signals import leave_the_end_to_the_server
from penstock.runtime.runtime import find_runtime

_log = logging.getLogger("penstock.runtime")


class Worker:
    """One copy of a model at the other end of a channel, or of several.

    Args:
        channel: the socket it was started with.
    """

    def __init__(self, channel: WorkerChannel) -> None:
        self._own = channel
        self._channels = ChannelRing(channel)
        self._client = WorkerClient(channel)
        self._state: StateFile | None = None
        self._id = ServableId("", 0)
        self._executable: Executable | None = None
        self._now_ns = SystemClock().monotonic_ns

    def serve(self) -> None:
        """Do what comes until the server has gone."""
        self._own.send(Hello(PROTOCOL_VERSION, version("penstock")))
        while (turn := self._channels.receive()) is not None:
            self._handle(*turn)
        if self._executable is not None:
            self._executable.close()

    def _handle(self, channel: WorkerChannel, received: Received) -> None:
        message = received.message
        if isinstance(message, Execute):
            self._execute(channel, message, received.body)
        elif isinstance(message, Ping):
            channel.send(Pong())
        elif isinstance(message, Load):
            self._load(message)
        elif isinstance(message, Share):
            self._state = StateFile(channel.take_fd())
        elif isinstance(message, Attach):
            self._channels.attach(message.channel, channel.take_fd())

    def _load(self, message: Load) -> None:
        self._id = ServableId(message.name, message.version)
        try:
            _limit(message)
            artifact = artifact_of(message)
            runtime = find_runtime(artifact.runtime)
            self._client.channel = self._channels.first
            self._executable = runtime.load(artifact, self._client)
            signature = self._executable.signature
        except PenstockError as err:
            if isinstance(err, LoadFailed) and err.culprit is not None:
                _log.error("%s", err.message, exc_info=err.culprit)
            self._own.send(Failed(error_out(err)))
        except Exception as err:  # noqa: BLE001  # the edge to the framework
            _log.exception("%s: loading the model raised", self._id)
            text = f"{self._id}: loading the model raised {type(err).__name__}: {err}"
            self._own.send(Failed(error_out(LoadFailed(text))))
        else:
            self._own.send(Loaded(signature, runtime.platform))

    def _execute(self, channel: WorkerChannel, message: Execute, body: memoryview) -> None:
        if self._executable is None:
            raise BadFrame("a batch before the model")
        if self._state is not None:
            begun = WorkerState(channel.number, self._now_ns(), message.deadline_ns or 0)
            self._state.begin(begun)
        channel.map_segments(message)
        inputs = unpack(message.tensors, body, channel.segment(message.input_segment))
        self._client.channel = channel
        execution = execute_safely(
            self._id,
            self._executable,
            Work(inputs, message.parameters, message.deadline_ns),
            self._now_ns,
        )
        if self._state is not None:  # before the answer: who has it finds the worker idle
            self._state.end()
        try:
            self._answer(channel, execution, message.output_segment)
        except Exception as err:  # noqa: BLE001  # a runtime's answer may be anything
            _log.exception("%s: its answer could not be sent", self._id)
            text = f"{self._id}: its answer could not be sent: {type(err).__name__}: {err}"
            _refuse(channel, ModelFailed(text, is_reported=True), execution)

    def _answer(self, channel: WorkerChannel, execution: Execution, segment_id: int) -> None:
        result = execution.result
        if isinstance(result, PenstockError):
            _refuse(channel, result, execution)
            return
        wanted_bytes = shared_bytes(result.outputs)
        segment = channel.segment(segment_id)
        if segment is not None and len(segment) < wanted_bytes:
            segment = None
        packed = pack(result.outputs, segment)
        invalid = {row: error_out(err) for row, err in result.invalid.items()}
        channel.send(
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


def _refuse(channel: WorkerChannel, error: PenstockError, execution: Execution) -> None:
    times = (execution.started_ns, execution.ended_ns)
    channel.send(Executed([], {}, error_out(error), *times))


def main(fd: int) -> None:
    """Serve the socket of this number until its other end closes."""
    leave_the_end_to_the_server()
    channel = WorkerChannel(socket.socket(fileno=fd))
    send_logs_to(channel)
    Worker(channel).serve()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that the model left behind keeps nobody waiting


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
