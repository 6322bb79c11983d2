"""Engine ``ray``: the splits of a batch job on actors, wherever a Ray cluster has place for them.

The driver alone holds the output and writes the journal; an actor reads, predicts and writes whole
splits. What a part is called and what is in it depend on nothing but its split, so one that is done
twice, the second time because an actor was only thought dead, is there once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from penstock.core.errors import ConfigError, JobFailed
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.work import Work
from penstock.runtime.process.frame import WireError
from penstock.runtime.process.wire_error import error_in

if TYPE_CHECKING:
    from penstock.jobs.batch.engine import EngineTask
    from penstock.jobs.batch.split_worker import WorkerRecipe

_LOOK_S: Final = 0.2
_CLOSE_S: Final = 10.0
_CALL_S: Final = 10.0
_MAX_DEATHS_AT_START: Final = 3
_CONNECTS: Final = 3
_NO_CLIENT_SERVER: Final = "Starting Ray client server failed"
_MAX_WHY_CHARS: Final = 500
_AT_ONCE: Final = 2
"""How many splits an actor has: one that it predicts, one that it reads."""


class RayOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a job uses a cluster.

    Attributes:
        address: of the cluster: on one of its nodes ``auto`` or ``HOST:PORT``, from outside Ray
            Client's ``ray://HOST:PORT``; "": a Ray on this machine, for as long as the job runs.
        cpus: what each worker takes of its node's CPUs.
        gpus: what each worker takes of its node's GPUs.
        resources: what else it takes, by Ray's names.
        runtime_env: the environment of the workers, as Ray takes it: packages, files, variables.
        start_timeout_s: how long the job stands still while no worker finds a place, in seconds.
    """

    address: str = ""
    cpus: Annotated[float, Meta(ge=0)] = 1.0
    gpus: Annotated[float, Meta(ge=0)] = 0.0
    resources: dict[str, float] = {}
    runtime_env: dict[str, Any] = {}
    start_timeout_s: Annotated[float, Meta(gt=0)] = 300.0


def run_on_ray(task: EngineTask, options: RayOptions) -> None:
    """Do what the board gives out on a cluster: an ``Engine``. Blocks.

    Relative paths in the job are of the driver's folder, which the workers enter where their node
    has it.

    Args:
        task: see there; ``workers`` is the most actors, and those for which there is place work.
        options: the cluster, and what a worker takes of it.

    Raises:
        ConfigError: Ray is not installed, nobody answers at the address, or the job cannot be sent
            to another process.
        JobFailed: a bug of ours, or of a library, in an actor.
    """
    ray = _import_ray()
    with _connected(ray, options, task.workers):
        pool = _Pool(ray, task, options)
        try:
            pool.run()
        finally:
            pool.close()


class _Died(Exception):
    """An actor is gone, with its node or alone."""


class _Member:
    """An actor, how many more splits it can be given, and how many in a row had its place before
    it, and died while they started.
    """

    def __init__(self, actor: Any, deaths: int) -> None:
        self.actor = actor
        self.free = 0
        self.deaths = deaths


class _Given(NamedTuple):
    """A split that an actor has, and how many of its hands are full of it."""

    member: _Member
    work: Work
    hands: int


class _Pool:
    """Actors that start, or do splits.

    Args:
        ray: the library.
        task: the job.
        options: the cluster, and what an actor takes of it.

    Raises:
        ConfigError: no actor can take that, or the job cannot be sent to another process.
    """

    def __init__(self, ray: ModuleType, task: EngineTask, options: RayOptions) -> None:
        self._ray = ray
        self._board = task.board
        self._options = options
        self._make = _actor_class(ray, options)
        self._arguments = (_recipe(task), str(Path.cwd()), str(task.parts.state))
        self._workers = task.workers
        self._members: list[_Member] = []
        self._starting: dict[Any, _Member] = {}
        self._busy: dict[Any, _Given] = {}
        self._moved_s = time.monotonic()

    def run(self) -> None:
        """Give out splits until the board is over."""
        for _ in range(self._workers):
            self._start()
        while not self._board.is_over:
            self._feed()
            refs = [*self._busy, *self._starting]
            ready, _ = self._ray.wait(refs, timeout=_LOOK_S) if refs else ([], [])
            self._check_place()
            for ref in ready:
                if ref in self._starting:
                    self._started(ref)
                else:
                    self._answered(ref)

    def close(self) -> None:
        """End the actors: by their own hand where all is done, then all."""
        members = [*self._members, *self._starting.values()]
        if not self._busy:
            closing = [member.actor.close.remote() for member in self._members]
            if closing:
                self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S)
        for member in members:
            self._ray.kill(member.actor)

    def _start(self, deaths: int = 0) -> None:
        member = _Member(self._make.remote(*self._arguments), deaths)
        self._starting[member.actor.start.remote()] = member

    def _feed(self) -> None:
        """Give splits to those who have most hands free. One that has failed before is done alone,
        so that it is known who died of it, and takes nobody along.
        """
        while self._members:
            member = max(self._members, key=lambda one: one.free)
            if not member.free:
                return
            is_waiting = not (self._busy or self._starting)
            work = self._board.take(_LOOK_S if is_waiting else 0.0)
            if work is None:
                return
            hands = 1 if work.attempt == 1 else _AT_ONCE
            if hands > member.free:
                self._board.give_back(work)
                return
            member.free -= hands
            self._busy[member.actor.run.remote(work)] = _Given(member, work, hands)

    def _started(self, ref: Any) -> None:
        member = self._starting.pop(ref)
        try:
            error = self._value(ref)
        except _Died as err:
            self._died_at_start(member.deaths + 1, str(err))
            return
        if error is None:
            member.free = _AT_ONCE
            self._members.append(member)
        else:
            self._board.fail(error_in(error))

    def _died_at_start(self, deaths: int, why: str) -> None:
        """Another takes its place; where none lives there, the job goes on with those that work."""
        if deaths < _MAX_DEATHS_AT_START:
            self._start(deaths)
        elif not self._members:
            self._board.fail(
                JobFailed(
                    f"engine ray: {deaths} workers in a row died while they started; the last: "
                    f"{why}"
                )
            )

    def _answered(self, ref: Any) -> None:
        member, work, hands = self._busy.pop(ref)
        try:
            answer = self._value(ref)
        except _Died as err:
            if member in self._members:  # the first of its splits that tells
                self._members.remove(member)
                self._start()
            self._board.lost(work, str(err))
            return
        member.free += hands
        if isinstance(answer, WireError):
            self._board.failed(work, error_in(answer))
        else:
            self._board.done(work, answer)

    def _value(self, ref: Any) -> Any:
        """What an actor answered.

        Raises:
            _Died: it did not, and never will.
            JobFailed: it raised what no worker should.
        """
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except exceptions.RayTaskError as err:
            raise broken(err.cause, "a worker of the engine ray") from err
        except exceptions.RayError as err:
            raise _Died(textwrap.shorten(str(err), _MAX_WHY_CHARS)) from err

    def _check_place(self) -> None:
        """See that a worker comes up within the time for it."""
        now_s, options = time.monotonic(), self._options
        if self._members:
            self._moved_s = now_s
        elif now_s - self._moved_s > options.start_timeout_s:
            wants = {"CPU": options.cpus, "GPU": options.gpus, **options.resources}
            self._board.fail(
                JobFailed(
                    f"engine ray: no worker was ready within {options.start_timeout_s:g} s: one "
                    f"takes {_told(wants)}; free on the cluster: "
                    f"{_told(self._ray.available_resources())}",
                    retryable=True,
                )
            )


def _actor_class(ray: ModuleType, options: RayOptions) -> Any:
    """What actors are made of.

    Raises:
        ConfigError: no actor can take what the options say.
    """
    from penstock.jobs.batch.ray_worker import RayWorker

    try:
        return ray.remote(RayWorker).options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            resources=options.resources,
            max_concurrency=_AT_ONCE + 1,  # and to be closed
        )
    except (TypeError, ValueError) as err:
        raise ConfigError(f"ray: no worker can take such cpus, gpus and resources: {err}") from err


def _recipe(task: EngineTask) -> WorkerRecipe:
    """Of an actor with one copy of the model, and its share of the memory.

    Raises:
        ConfigError: the job cannot be sent to another process.
    """
    if task.recipe is None:
        raise ConfigError(
            "engine ray: what opens the job cannot be sent to another process; use the engine "
            "local, or build the job from a file"
        )
    memory_bytes = task.settings.memory_bytes // task.workers
    settings = msgspec.structs.replace(task.settings, memory_bytes=memory_bytes, copies=1)
    return task.recipe._replace(settings=settings)


@contextlib.contextmanager
def _connected(ray: ModuleType, options: RayOptions, workers: int) -> Iterator[None]:
    """A connection to the cluster: the program's own, where it has one."""
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": options.address or "local", "log_to_driver": False}
    if not options.address:
        settings["num_cpus"] = max(1, round(options.cpus * workers + 0.5))
        settings["include_dashboard"] = False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to Ray's makers
    if options.runtime_env:
        settings["runtime_env"] = options.runtime_env
    try:
        _call(options.address)
        with _same_sigterm():
            _init(ray, settings)
    except ray.exceptions.RuntimeEnvSetupError as err:
        raise ConfigError(f"ray.runtime_env: {_last_line(err)}") from err
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError) as err:
        where = options.address or "this machine"
        raise ConfigError(
            f"ray.address: no Ray to work with at {where}: {_last_line(err)}"
        ) from err
    try:
        yield
    finally:
        ray.shutdown()


def _init(ray: ModuleType, settings: Mapping[str, Any]) -> None:
    """Connect. What Ray starts for each client sometimes fails to start, and then starts again."""
    for left in reversed(range(_CONNECTS)):
        try:
            ray.init(**settings)
        except ConnectionAbortedError as err:
            if not left or _NO_CLIENT_SERVER not in str(err):
                raise
        else:
            return


@contextlib.contextmanager
def _same_sigterm() -> Iterator[None]:
    """SIGTERM does what it did before: a job's handler stops it within a batch, the one that Ray
    puts in its place would end the process. Only the main thread has handlers.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _call(address: str) -> None:
    """See whether somebody listens there: Ray would wait for minutes, deaf to Ctrl-C.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), _CALL_S).close()


def _import_ray() -> ModuleType:
    try:
        import ray
    except ModuleNotFoundError as err:
        raise ConfigError("engine: ray needs Ray: pip install 'penstock[ray]'") from err
    module: ModuleType = ray
    return module


def _last_line(error: Exception) -> str:
    """What it says; of a traceback that it brings along, the end."""
    return str(error).strip().rpartition("\n")[2]


def _told(resources: Mapping[str, float]) -> str:
    told = [f"{amount:g} {name}" for name, amount in resources.items() if ":" not in name]
    return ", ".join(told) or "nothing"
