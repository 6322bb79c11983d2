"""Workers that cheat: garbage, false frames, memory cut off, odd logging; and frozen ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest

from penstock.core.errors import DeadlineExceeded, LoadFailed, ModelCrashed, ModelFailed
from tests.fault.actor import ask, is_alive, request, save, serving, until, workers
from tests.interop.live import Live

pytestmark = pytest.mark.fault


async def test_garbage_on_the_channel_is_a_death(tmp_path: Path) -> None:
    async with serving(save(tmp_path)) as models:
        with pytest.raises(ModelCrashed, match="no message"):
            await ask(models, "garbage")
        assert await ask(models) == 2


async def test_a_frame_that_is_announced_only_costs_nothing(tmp_path: Path) -> None:
    async with serving(save(tmp_path, kill_after_s=1.0)) as models:
        resident = psutil.Process().memory_info().rss
        with pytest.raises(DeadlineExceeded):
            await ask(models, "announce", timeout_s=0.5)
        assert psutil.Process().memory_info().rss < resident + 64 * 1024 * 1024
        assert await ask(models) == 2


async def test_shared_memory_cannot_be_cut_off_under_the_server(tmp_path: Path) -> None:
    big = np.ones((1, 1_000_000), np.float32)
    async with serving(save(tmp_path)) as models:
        for _ in range(3):
            await models.infer("actor", x=big, do=[""])
        with pytest.raises(ModelFailed, match="PermissionError"):
            await models.infer("actor", x=big, do=["truncate"])
        (answer,) = (await models.infer("actor", x=big, do=[""])).values()
        assert answer.sum() == 2_000_000


async def test_a_wrong_logging_call_is_not_the_requests_error(tmp_path: Path) -> None:
    async with serving(save(tmp_path)) as models:
        assert await ask(models, "odd") == 2


async def test_that_it_died_is_not_for_the_worker_to_say(tmp_path: Path) -> None:
    async with serving(save(tmp_path, idempotent=True)) as models:
        pid = await ask(models, "pid")
        with pytest.raises(ModelFailed, match="not really") as caught:
            await ask(models, "crash error")
        assert not isinstance(caught.value, ModelCrashed)
        assert await ask(models, "pid") == pid


def test_a_request_that_no_frame_can_hold_costs_no_copy(tmp_path: Path) -> None:
    with Live([save(tmp_path)], folder=tmp_path) as server:
        for parameters in ({"a": 2**70}, {"timeout": 10**17}):
            server.infer("actor", *request(), parameters=parameters)
            assert server.infer("actor", *request()).status == 200
        assert server.metric("penstock_worker_deaths_total", model="actor") == 0


async def test_less_memory_than_the_model_takes_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"holds \d+ MiB after loading .* max_memory is 10 MiB"):
        async with serving(save(tmp_path, max_memory="10MiB")):
            raise AssertionError("it serves")


async def test_one_that_is_frozen_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.runtime.process import worker_keeper

    monkeypatch.setattr(worker_keeper, "_PING_INTERVAL_S", 0.5)
    monkeypatch.setattr(worker_keeper, "_PING_TIMEOUT_S", 0.2)
    async with serving(save(tmp_path)) as models:
        (worker,) = workers()
        worker.suspend()
        await until(lambda: not is_alive(worker))
        assert await ask(models) == 2
