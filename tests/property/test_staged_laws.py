"""The law of stages apart: where they run changes no outcome."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.clock import SystemClock
from penstock.core.dtype import DType
from penstock.core.errors import PenstockError
from penstock.core.ids import ServableId
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work, execute_safely
from penstock.runtime.python_runtime import PythonExecutable, PythonRuntime
from penstock.runtime.staged.staged_instance import StagedInstance, staged_instances
from tests.contract.runtime_contract import NoClient, artifact
from tests.unit.runtime.python_models import write

ID = ServableId("m", 1)
LIMIT_S = 30
STYLES = {
    "items": """
class Moody(Model):
    def preprocess(self, x: list[int], parameters):
        return self.look(0, x, parameters)
    async def predict(self, x):
        return self.look(1, x)
    def postprocess(self, x) -> list[int]:
        return self.look(2, x)
    def look(self, stage, x, parameters={}):
        for i, v in enumerate(x):
            if v % 10 == 4 + stage:
                raise ValueError(v)
            if v % 10 == 7 + stage:
                raise InvalidInput(i, f"{stage}: {v}")
        add = parameters.get("add", 10)
        return [InvalidInput(i, f"{stage}: neg") if -3 < v < 0 else v + add
                for i, v in enumerate(x)]
""",
    "columns": """
class Moody(Model):
    def preprocess(self, x: Rows["INT64"], parameters):
        return self.look(0, x, parameters)
    async def predict(self, x):
        return self.look(1, x)
    def postprocess(self, x) -> Rows["INT64"]:
        return self.look(2, x)
    def look(self, stage, x, parameters={}):
        for i, v in enumerate(x.tolist()):
            if v % 10 == 4 + stage:
                raise ValueError(v)
            if v % 10 == 7 + stage:
                raise InvalidInput(i, f"{stage}: {v}")
        return x + parameters.get("add", 10)
""",
}
batches = st.lists(
    st.tuples(
        st.lists(st.integers(-12, 60), min_size=1, max_size=8),
        st.sampled_from([{}, {"add": 20}, {"add": 3}]),
    ),
    min_size=1,
    max_size=8,
)
counts = st.dictionaries(st.sampled_from(["preprocess", "postprocess"]), st.integers(1, 3))


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, list[PythonExecutable]]]:
    """Two copies of each model, that outlive the instances made of them."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = {}
        for style, code in STYLES.items():
            ref = artifact(write(Path(folder), code, f"{style}.py"), "python")
            loaded[style] = [PythonRuntime().load(ref, NoClient()) for _ in range(2)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PythonExecutable, "close", lambda _: None)
            yield loaded
        for executable in (one for copies in loaded.values() for one in copies):
            executable.close()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log stays empty of what is raised on purpose."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def plain(result: ExecuteResult | PenstockError) -> object:
    """A result as values that compare."""
    if isinstance(result, PenstockError):
        return type(result), result.message
    invalid = {row: (error.index, error.reason) for row, error in result.invalid.items()}
    return [(t.name, t.dtype, t.array.tolist()) for t in result.outputs], invalid


def work_of(values: Sequence[int], parameters: dict[str, Any]) -> Work:
    return Work((Tensor("x", DType.INT64, np.array(values, np.int64)),), parameters)


async def staged(
    copies: Sequence[PythonExecutable], counts: dict[str, int], works: Sequence[Work]
) -> list[object]:
    """What all of some batches give, as many at once as there is room for."""
    loop = asyncio.get_running_loop()
    idle = staged_instances(ID, copies, counts, loop, SystemClock())
    slots = tuple(idle)
    room = asyncio.Semaphore(len(idle))

    async def one(work: Work) -> object:
        async with room:
            instance: StagedInstance = idle.pop()
            done: asyncio.Future[Execution] = loop.create_future()
            instance.submit(work, done.set_result)
            execution = await asyncio.wait_for(done, LIMIT_S)
            idle.append(instance)
            return plain(execution.result)

    outcomes = await asyncio.gather(*map(one, works))
    await asyncio.gather(*(slot.close() for slot in slots))
    return outcomes


@given(style=st.sampled_from(list(STYLES)), counts=counts, batches=batches)
def test_where_stages_run_changes_no_outcome(
    models: dict[str, list[PythonExecutable]],
    style: str,
    counts: dict[str, int],
    batches: list[tuple[list[int], dict[str, Any]]],
) -> None:
    copies = models[style]
    works = [work_of(*each) for each in batches]
    now_ns = SystemClock().monotonic_ns
    expected = [plain(execute_safely(ID, copies[0], work, now_ns).result) for work in works]
    assert asyncio.run(staged(copies, counts, works)) == expected
