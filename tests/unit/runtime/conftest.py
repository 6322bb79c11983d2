"""Models that are closed when their test is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.runtime.python_runtime import PythonExecutable, PythonRuntime
from tests.contract.runtime_contract import NoClient, artifact

from .python_models import Load, modules, write


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    loaded: list[PythonExecutable] = []
    others = modules()

    def _load(code: str, class_name: str | None = None, **manifest: Any) -> PythonExecutable:
        ref = artifact(write(tmp_path, code), "python", **manifest)
        loaded.append(
            PythonRuntime().load(msgspec.structs.replace(ref, class_name=class_name), NoClient())
        )
        return loaded[-1]

    yield _load
    for executable in loaded:
        executable.close()
    assert modules() == others
