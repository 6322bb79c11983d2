"""Generate the Open Inference protobuf and gRPC classes from their ``.proto`` files.

Run ``python tools/generate_proto.py`` after a change of a ``.proto`` file; ``--check`` writes
nothing and fails where the committed code differs from what would be generated.

Two edits follow the compiler: imports become relative, so that the folder works as a package,
and messages go to the folder's own descriptor pool (see ``proto/__init__.py``).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import grpc_tools  # type: ignore[import-untyped]  # it ships no types
from grpc_tools import protoc

_FOLDER = Path(__file__).parents[1] / "src/penstock/dialects/open_inference/proto"
_PROTOS = ("grpc_predict_v2.proto", "model_config.proto")
_MODULES = ("grpc_predict_v2_pb2", "model_config_pb2")


def generate() -> dict[str, str]:
    """Compile the ``.proto`` files; file name to text, nothing is written to the folder."""
    include = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as out:
        code = protoc.main(
            [
                "protoc",
                f"-I{_FOLDER}",
                f"-I{include}",
                f"--python_out={out}",
                f"--pyi_out={out}",
                f"--grpc_python_out={out}",
                *_PROTOS,
            ]
        )
        if code:
            raise SystemExit(f"protoc failed with {code}")
        files = sorted(Path(out).iterdir())
        return {f.name: _as_package(f.read_text()) for f in files if _wanted(f.name)}


def _wanted(name: str) -> bool:
    return name != "model_config_pb2_grpc.py"


def _as_package(text: str) -> str:
    for module in _MODULES:
        text = re.sub(rf"^import {module} as ", f"from . import {module} as ", text, flags=re.M)
    text = text.replace(
        "from google.protobuf import descriptor_pool as _descriptor_pool\n",
        "from .pool import POOL as _POOL\n",
    )
    return text.replace("_descriptor_pool.Default()", "_POOL")


def main() -> None:
    """Write the generated files, or with ``--check`` compare them with what is there."""
    stale = []
    for name, text in generate().items():
        path = _FOLDER / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if stale and "--check" in sys.argv:
        raise SystemExit(f"out of date, run tools/generate_proto.py: {', '.join(stale)}")
    print("generated:" if stale else "up to date", *stale)


if __name__ == "__main__":
    main()
