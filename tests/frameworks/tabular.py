"""What the tests of the tabular runtimes share: models served from a folder, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import penstock
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Array, Tensor
from penstock.runtime.executable import Executable
from penstock.runtime.runtime import Runtime
from tests.contract.runtime_contract import NoClient, artifact


class Loading:
    """Loads and refuses with one runtime."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.runtime = runtime
        self.name = name

    def load(self, path: Path, **manifest: Any) -> Any:
        return self.runtime.load(artifact(path, self.name, **manifest), NoClient())

    def refused(self, path: Path, **manifest: Any) -> str:
        with pytest.raises(LoadFailed) as caught:
            self.load(path, **manifest)
        assert caught.value.message.startswith("'m' version 1")
        assert "\n" not in caught.value.message
        assert not caught.value.retryable
        return caught.value.message


def specs(executable: Executable) -> dict[str, tuple[str, tuple[int, ...]]]:
    signature = executable.signature
    return {s.name: (str(s.dtype), s.shape) for s in (*signature.inputs, *signature.outputs)}


def run(executable: Executable, **inputs: Array) -> dict[str, Array]:
    tensors = [Tensor.from_array(name, array) for name, array in inputs.items()]
    executable.signature.check("m", tuple(tensors))
    return {t.name: t.array for t in executable.execute(tensors, {}).outputs}


async def served(
    folder: Path, manifest: dict[str, Any] | None = None, **inputs: Any
) -> dict[str, Array]:
    """What a server answers for the model ``folder/1``, one request for each row, all at once."""
    import asyncio

    (folder / "model.yaml").write_text(yaml.safe_dump(manifest or {}))
    rows = len(next(iter(inputs.values())))
    async with penstock.serving(folder) as models:
        answers = await asyncio.gather(
            *(
                models.infer(folder.name, **{n: v[r : r + 1] for n, v in inputs.items()})
                for r in range(rows)
            )
        )
    return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
