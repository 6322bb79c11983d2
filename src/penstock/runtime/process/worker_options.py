"""WorkerOptions: how the worker processes of one model are started and held to account."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances
from penstock.runtime.process.frame import MAX_BODY_BYTES
from penstock.runtime.process.restart_policy import RestartOptions

_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


class WorkerOptions(msgspec.Struct, frozen=True):
    """What a worker is started with.

    Attributes:
        python: the interpreter.
        env: the whole environment.
        working_dir: where it starts.
        max_memory_bytes: resident memory at which it is killed; 0: there is no limit.
        cpus: the processors it may use; empty: all.
        start_timeout_s: how long it may take to load its model.
        kill_after_s: a batch past its deadline is given up, and its worker killed, once it has
            run for so long.
        restart: how patient the server is with crashes.
        max_body_bytes: a worker that says more than this at once has said no message.
    """

    python: str = sys.executable
    env: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    working_dir: str | None = None
    max_memory_bytes: int = 0
    cpus: tuple[int, ...] = ()
    start_timeout_s: float = 300.0
    kill_after_s: float = 10.0
    restart: RestartOptions = RestartOptions()
    max_body_bytes: int = MAX_BODY_BYTES


def worker_options(artifact: ArtifactRef, index: int, start_timeout_s: float) -> WorkerOptions:
    """The options of a model's worker.

    Args:
        artifact: whose manifest's ``instances`` says most of it; paths in it count from the
            model's folder, the one that holds its ``model.yaml``.
        index: which copy, from 0: limited copies are spread over the processors.
        start_timeout_s: the server's setting.

    Raises:
        LoadFailed: a path is not there.
    """
    instances = artifact.manifest.instances
    folder = _model_folder(artifact)
    python = sys.executable
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if instances.python is not None:
        interpreter = _interpreter(artifact, folder / instances.python)
        python = str(interpreter)
        env = {name: value for name, value in env.items() if name not in _FOREIGN}
        env["PATH"] = f"{interpreter.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    working_dir = None
    if instances.working_dir is not None:
        path = folder / instances.working_dir
        if not path.is_dir():
            raise LoadFailed(
                f"{artifact.id}: instances.working_dir: '{instances.working_dir}' is no folder"
            )
        working_dir = str(path.resolve())
    return WorkerOptions(
        python=python,
        env={**env, **instances.env},
        working_dir=working_dir,
        max_memory_bytes=instances.max_memory or 0,
        cpus=_some_cpus(instances, index),
        start_timeout_s=start_timeout_s,
        kill_after_s=instances.kill_after_s,
    )


def _model_folder(artifact: ArtifactRef) -> Path:
    """The folder of the model, which is the version's own where there are no versions."""
    is_versioned = artifact.root.name == str(artifact.id.version)
    return artifact.root.parent if is_versioned else artifact.root


def _interpreter(artifact: ArtifactRef, path: Path) -> Path:
    """The interpreter of a virtual environment, or the one the path names."""
    candidates = (path / "bin" / "python", path / "Scripts" / "python.exe", path)
    for candidate in candidates:
        if candidate.is_file():
            return candidate.absolute()  # not resolved: the link is what makes the environment
    raise LoadFailed(
        f"{artifact.id}: instances.python: no virtual environment and no interpreter at "
        f"'{artifact.manifest.instances.python}'; make one there: python -m venv PATH, then "
        "PATH/bin/pip install penstock"
    )


def _some_cpus(instances: Instances, index: int) -> tuple[int, ...]:
    """The processors of copy ``index``: so many of those this server may use, in turn."""
    if not instances.cpus or not hasattr(os, "sched_getaffinity"):
        return ()
    own = sorted(os.sched_getaffinity(0))
    first = index * instances.cpus
    count = min(instances.cpus, len(own))
    return tuple(sorted({own[(first + step) % len(own)] for step in range(count)}))
