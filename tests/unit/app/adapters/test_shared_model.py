"""One copy of a model for a whole process."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from penstock.app.adapters import shared_model as module
from penstock.app.adapters.shared_model import SharedModel, shared_model
from penstock.core.tensor import Tensor
from penstock.jobs.model_ref import ModelRef
from tests.unit.app.adapters.fake_model import FakeModel

TEXT = (Tensor.from_array("text", np.array([b"a"], object)),)


def test_threads_that_ask_at_once_get_the_same_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[FakeModel] = []

    def open_predictors(ref: ModelRef) -> FakeModel:
        opened.append(FakeModel())
        return opened[-1]

    monkeypatch.setattr(module, "open_predictors", open_predictors)
    got: list[SharedModel] = []
    ref = ModelRef(path="/only/this/test")
    threads = [
        threading.Thread(target=lambda: got.append(shared_model(ModelRef(path=ref.path))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(copy) for copy in got}) == len(opened) == opened[0].opened == 1
    assert shared_model(ModelRef(path=ref.path, version=2)) is not got[0]


def test_one_thread_at_a_time_is_answered() -> None:
    model = FakeModel()
    model.may_answer.clear()
    shared = SharedModel(model)
    threads = [threading.Thread(target=shared.predict, args=(TEXT,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    model.may_answer.set()
    for thread in threads:
        thread.join()
    assert len(model.batches) == 4
    assert not model.is_shared_by_two
