"""Peer: Triton Inference Server (the binary that nvidia-pytriton carries), Python backend, CPU."""

from __future__ import annotations

import os
import shutil
import sysconfig
from typing import TYPE_CHECKING

from benchmarks.arms.contender import Contender
from benchmarks.places import SERVERS, venv_python
from benchmarks.v2 import DATATYPES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from benchmarks.workloads.workload import Workload


class Triton(Contender):
    """CPU instances with dynamic batching and no queue delay; REST and gRPC."""

    label = "triton"
    packages = ("nvidia-pytriton", "onnxruntime", "numpy")

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`."""
        super().__init__(workload, folder)
        note = f"python backend, {workload.processes} CPU instance(s)"
        if workload.max_batch_size > 1:
            note += f", max_batch_size {workload.max_batch_size}, dynamic_batching {{}} (no delay)"
        if self._ragged():
            note += ", allow_ragged_batch, the model pads"
        self.note = note

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("triton")

    def versions(self) -> dict[str, str]:
        """Return the packages' versions and the server's own (pytriton 0.7.0 carries 2.51.0)."""
        found = super().versions()
        log = self.folder / "server.log"
        if log.exists():
            for line in log.read_text(errors="replace").splitlines():
                if "| server_version" in line:
                    found["tritonserver"] = line.split("|")[2].strip()
        return found

    def _site_packages(self) -> Path:
        environment = self.interpreter().parent.parent
        return next((environment / "lib").glob("python3.*")) / "site-packages"

    def _ragged(self) -> bool:
        shapes = {
            tuple(value.shape for value in sample.values()) for sample in self.workload.samples
        }
        return len(shapes) > 1

    def _config(self) -> str:
        workload, ragged = self.workload, self._ragged()

        def tensor(name: str, value: np.ndarray, more: str, free: bool = False) -> str:
            # a shape of [n] is one number a row for Triton, which wants a dimension for it
            dims = [-1] if free else list(value.shape[1:]) or [1]
            return (
                f"{{ name: '{name}' data_type: TYPE_{DATATYPES[value.dtype]} dims: {dims}{more} }}"
            )

        more = " allow_ragged_batch: true" if ragged else ""
        inputs = [tensor(name, one, more, ragged) for name, one in workload.samples[0].items()]
        outputs = [tensor(name, workload.expected[name], "") for name in workload.outputs]
        lines = [
            f"name: '{workload.model}'",
            "backend: 'python'",
            f"max_batch_size: {workload.max_batch_size}",
            f"input [ {', '.join(inputs)} ]",
            f"output [ {', '.join(outputs)} ]",
            f"instance_group [ {{ count: {workload.processes} kind: KIND_CPU }} ]",
        ]
        if workload.max_batch_size > 1:
            lines.append("dynamic_batching { }")
        return "\n".join(lines) + "\n"

    def command(self) -> list[str]:
        """Lay out the model repository and the backend, and return the server's command line."""
        home = self._site_packages() / "pytriton" / "tritonserver"
        python = self._site_packages().parent.name.removeprefix("python")
        backend = self.folder / "backends" / "python"
        model = self.folder / "repository" / self.workload.model
        for folder in (backend.parent, model):
            shutil.rmtree(folder, ignore_errors=True)
        backend.mkdir(parents=True)
        (model / "1").mkdir(parents=True)
        for path in (
            home / "backends" / "python" / "libtriton_python.so",
            home / "backends" / "python" / "triton_python_backend_utils.py",
            home / "python_backend_stubs" / python / "triton_python_backend_stub",
        ):
            (backend / path.name).symlink_to(path)
        (model / "config.pbtxt").write_text(self._config())
        shutil.copy(SERVERS / "triton_model.py", model / "1" / "model.py")
        command = [str(home / "bin" / "tritonserver"), "--model-repository", str(model.parent)]
        command += ["--backend-directory", str(backend.parent)]
        command += ["--http-address", "127.0.0.1", "--http-port", str(self.http_port)]
        command += ["--grpc-address", "127.0.0.1", "--grpc-port", str(self.grpc_port)]
        return [
            *command,
            "--metrics-address",
            "127.0.0.1",
            "--metrics-port",
            str(self.metrics_port),
        ]

    def environment(self) -> dict[str, str]:
        """Return where the backend's isolated interpreter finds its packages and libpython."""
        library = sysconfig.get_config_var("LIBDIR") or ""
        known = os.environ.get("LD_LIBRARY_PATH", "")
        return {
            **super().environment(),
            "BENCH_SITE_PACKAGES": os.pathsep.join((str(self._site_packages()), str(SERVERS))),
            "LD_LIBRARY_PATH": os.pathsep.join(part for part in (known, library) if part),
        }
