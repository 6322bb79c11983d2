"""Peer: Triton Inference Server (the binary that nvidia-pytriton carries), Python backend, CPU."""

from __future__ import annotations

import os
import shutil
import sysconfig
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.places import SERVERS, venv_python
from benchmarks.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path


class Triton(Arm):
    """One CPU instance with dynamic batching and no queue delay; REST and gRPC."""

    label = "triton"
    note = "python backend, 1 CPU instance, max_batch_size 32, dynamic_batching {} (no delay)"
    packages = ("nvidia-pytriton", "onnxruntime", "numpy")
    speaks_grpc = True
    ready_path = "/v2/health/ready"

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

    def command(self) -> list[str]:
        """Lay out the model repository and the backend, and return the server's command line."""
        home = self._site_packages() / "pytriton" / "tritonserver"
        python = self._site_packages().parent.name.removeprefix("python")
        backend = self.folder / "backends" / "python"
        model = self.folder / "repository" / "digits"
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
        shutil.copy(SERVERS / "triton_config.pbtxt", model / "config.pbtxt")
        shutil.copy(SERVERS / "triton_model.py", model / "1" / "model.py")
        command = [str(home / "bin" / "tritonserver"), "--model-repository", str(model.parent)]
        command += ["--backend-directory", str(backend.parent)]
        command += ["--http-address", "127.0.0.1", "--http-port", str(self.http_port)]
        command += ["--grpc-address", "127.0.0.1", "--grpc-port", str(self.grpc_port)]
        return [*command, "--metrics-address", "127.0.0.1", "--metrics-port", str(free_port())]

    def environment(self) -> dict[str, str]:
        """Return where the backend's isolated interpreter finds its packages and libpython."""
        library = sysconfig.get_config_var("LIBDIR") or ""
        known = os.environ.get("LD_LIBRARY_PATH", "")
        return {
            "BENCH_SITE_PACKAGES": os.pathsep.join((str(self._site_packages()), str(SERVERS))),
            "LD_LIBRARY_PATH": os.pathsep.join(part for part in (known, library) if part),
        }
