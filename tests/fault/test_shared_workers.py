"""Workers that several serving processes share: every way for one of them to go wrong."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from penstock.app.embedded import Models
from penstock.core.errors import DeadlineExceeded, LoadFailed, ModelCrashed, NotReady
from penstock.runtime.process import worker_keeper
from tests.fault.actor import ask, is_alive, save, until, workers
from tests.fault.guests import brokered, guest, ready, segments, socket_path, started
from tests.fault.test_process_instances import CALLER, CONFLICT, environment

pytestmark = pytest.mark.fault


_here_before: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _remember_who_was_here() -> None:
    """Note the children of this process that are not this test's."""
    _here_before.clear()
    _here_before.update(psutil.Process().children(recursive=True))


async def no_children() -> None:
    """Every process that this test started, the reaper included, has ended."""
    await until(lambda: set(psutil.Process().children(recursive=True)) <= _here_before)


async def test_two_processes_share_the_workers_of_a_model(tmp_path: Path) -> None:
    root = save(tmp_path, count=2)
    big = np.random.default_rng(1).random((1, 300_000), np.float32)
    async with brokered() as broker:
        async with guest(root, broker) as one:
            pids = {worker.pid for worker in workers()}
            async with guest(root, broker) as two:
                assert len(pids) == 2
                assert {worker.pid for worker in workers()} == pids, "no other was started"
                for models in (one, two) * 3:
                    assert await ask(models, value=3) == 6
                    assert await ask(models, "pid") in pids
                    (answer,) = (await models.infer("actor", x=big, do=[""])).values()
                    np.testing.assert_array_equal(answer, big * 2)
            assert await ask(one) == 2
            assert {worker.pid for worker in workers()} == pids, "one still needs them"
        assert workers() == []
        async with guest(root, broker) as three:
            assert await ask(three) == 2
            assert not pids & {worker.pid for worker in workers()}
    await no_children()


async def test_what_differs_is_not_shared(tmp_path: Path) -> None:
    one_root, two_root = save(tmp_path / "one"), save(tmp_path / "two")
    async with brokered() as broker, guest(one_root, broker), guest(two_root, broker):
        assert len(workers()) == 2
    await no_children()


async def test_those_who_come_at_once_start_it_once(tmp_path: Path) -> None:
    root = save(tmp_path, count=2)
    async with brokered() as broker:
        first, second = guest(root, broker), guest(root, broker)
        both = await asyncio.gather(first.__aenter__(), second.__aenter__())
        assert len(workers()) == 2
        assert [await ask(models) for models in both] == [2, 2]
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in (first, second)))
    await no_children()


async def test_batches_wait_for_their_turn_and_no_process_for_two_of_another(
    tmp_path: Path,
) -> None:
    root = save(tmp_path)
    over = asyncio.Event()
    async with brokered() as broker, guest(root, broker) as busy, guest(root, broker) as calm:

        async def press() -> None:
            while not over.is_set():
                await ask(busy, "count")

        pressing = [asyncio.create_task(press()) for _ in range(16)]
        await ask(calm, "count")
        counts = [await ask(calm, "count") for _ in range(30)]
        over.set()
        await asyncio.gather(*pressing)
    turns = np.diff(counts)
    assert turns.mean() > 1.3, "the other one did press"
    assert turns.max() <= 3


async def test_a_death_fails_the_batch_that_ran_and_no_other(tmp_path: Path) -> None:
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        (worker,) = workers()
        running = asyncio.create_task(ask(one, "gate"))
        await until((root / "actor/1/begun").exists)
        waiting = asyncio.create_task(ask(two, value=3))
        await asyncio.sleep(0.05)
        worker.kill()
        with pytest.raises(ModelCrashed, match=r"its worker died while it computed .*SIGKILL"):
            await running
        assert await waiting == 6, "it had not begun"
        assert await ask(one) == 2
        assert len(workers()) == 1
        deaths = [stats.worker_deaths for models in (one, two) for stats in models._service.stats]
        assert sum(deaths) == 1, "both together count one"
    await no_children()


async def test_an_idempotent_model_answers_although_the_worker_died(tmp_path: Path) -> None:
    root = save(tmp_path, idempotent=True)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        answers = await asyncio.gather(ask(one, "once", value=3), ask(two, "once", value=4))
        assert answers == [6, 8]


async def test_a_hang_is_ended_and_costs_no_other_process(tmp_path: Path) -> None:
    root = save(tmp_path, kill_after_s=0.5)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        hanging = asyncio.create_task(ask(one, "hang", timeout_s=1.5))
        waiting = [asyncio.create_task(ask(two, value=n)) for n in (3, 4)]
        with pytest.raises(DeadlineExceeded):
            await hanging
        assert await asyncio.gather(*waiting) == [6, 8], "another's hang is not theirs"
        assert len(workers()) == 1


async def test_a_model_that_keeps_crashing_is_in_quarantine_for_all(tmp_path: Path) -> None:
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        for models in (one, two, one, two, one):
            with pytest.raises(ModelCrashed):
                await ask(models, "exit")
        for models in (one, two):
            with pytest.raises(NotReady, match=r"in quarantine: its worker died 5 times in a row"):
                await ask(models)
        async with guest(root, broker) as three:
            assert await ask(three) == 2, "who loads it anew has it tried now"
            assert await ask(one) == 2
    await no_children()


async def test_an_answer_makes_the_next_death_the_first(tmp_path: Path) -> None:
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        for _ in range(6):
            with pytest.raises(ModelCrashed):
                await ask(one, "exit")
            assert await ask(two) == 2


async def test_a_model_that_cannot_be_loaded_is_told_to_all(tmp_path: Path) -> None:
    root = save(tmp_path, source="import os; os._exit(4)")

    async def load(broker: str) -> None:
        with pytest.raises(LoadFailed, match="exited with status 4"):
            async with guest(root, broker):
                raise AssertionError("it serves")

    async with brokered() as broker:
        await asyncio.gather(load(broker), load(broker))
        assert workers() == []
    await no_children()


async def test_a_process_that_is_killed_leaves_nothing_in_the_worker(tmp_path: Path) -> None:
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as here:
        (worker,) = workers()
        descriptors = worker.num_fds()
        other = started("guest", broker, str(root), "gate", "1000000")
        process = await ready(other)
        assert segments(worker) > 0
        (root / "go").touch()
        await until((root / "actor/1/begun").exists)
        asking = asyncio.create_task(ask(here, value=3))
        process.kill()
        (root / "actor/1/open").touch()
        assert await asking == 6
        await until(lambda: segments(worker) == 0 and worker.num_fds() == descriptors)
        assert workers() == [worker], "it lives, and there is no other"
        other.__exit__(None, None, None)
    await no_children()


async def test_a_batch_that_hangs_for_a_dead_process_does_not_hang_for_ever(
    tmp_path: Path,
) -> None:
    root = save(tmp_path, kill_after_s=0.5)
    async with brokered() as broker, guest(root, broker) as here:
        other = started("guest", broker, str(root), "gate", "4")
        process = await ready(other)
        (root / "go").touch()
        await until((root / "actor/1/begun").exists)
        process.kill()
        assert await ask(here) == 2, "the broker has seen to it"
        other.__exit__(None, None, None)


async def test_a_process_that_is_stopped_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It does not read its answer, which is too large for its socket: a model may have no segment
    for its first one.
    """
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as here:
        other = started("guest", broker, str(root), "gate", "4000000")
        process = await ready(other)
        (root / "go").touch()
        await until((root / "actor/1/begun").exists)
        process.send_signal(signal.SIGSTOP)
        (root / "actor/1/open").touch()
        for _ in range(5):
            assert await ask(here) == 2
        process.send_signal(signal.SIGCONT)
        other.__exit__(None, None, None)


async def test_nothing_outlives_a_broker_that_is_killed(tmp_path: Path) -> None:
    root = save(tmp_path, count=2)
    with socket_path() as path:
        running = started("broker", path)
        process = await ready(running)
        async with guest(root, path) as one, guest(root, path) as two:
            assert [await ask(models) for models in (one, two)] == [2, 2]
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) == 3, "two workers and the reaper"
            process.kill()
            await until(lambda: not any(is_alive(p) for p in family))
            for models in (one, two):
                with pytest.raises(NotReady, match="the process that starts its workers has gone"):
                    await ask(models)
        running.__exit__(None, None, None)


async def test_a_line_to_the_broker_that_breaks_is_mended(tmp_path: Path) -> None:
    root = save(tmp_path)
    with socket_path() as path:
        first, second = started("broker", path), started("broker", path)
        process = await ready(first)
        async with guest(root, path) as one, guest(root, path) as two:
            process.kill()
            for models in (one, two):
                await until(lambda models=models: not all(s.ready for s in models._service.stats))
            await asyncio.to_thread(Path(path).unlink)
            await ready(second)
            for models in (one, two):
                await until(lambda models=models: all(s.ready for s in models._service.stats))
                assert await ask(models) == 2
            assert len(workers()) == 1, "both share a new one"
        second.__exit__(None, None, None)
        first.__exit__(None, None, None)
    await no_children()


async def test_one_that_is_frozen_is_found_out_and_what_waited_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_keeper, "_PING_INTERVAL_S", 0.5)
    monkeypatch.setattr(worker_keeper, "_PING_TIMEOUT_S", 0.2)
    root = save(tmp_path)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        (worker,) = workers()
        worker.suspend()
        assert await asyncio.gather(ask(one, value=3), ask(two, value=4)) == [6, 8]
        assert not is_alive(worker)


@pytest.mark.parametrize("do", ["garbage", "announce", "chat"])
async def test_a_worker_that_cheats_hurts_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: str
) -> None:
    root = save(tmp_path, kill_after_s=0.5)
    save(root, "honest")
    x = np.ones((1, 4), np.float32)
    # Pytest's own handlers would keep the tens of thousands of lines of the chat, a KiB each.
    monkeypatch.setattr(logging.root, "handlers", [logging.NullHandler()])
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        resident = psutil.Process().memory_info().rss
        cheating = asyncio.create_task(ask(one, do, timeout_s=1.0))
        for _ in range(10):
            (answer,) = (await two.infer("honest", x=x, do=[""])).values()
            assert answer[0, 0] == 2
        with pytest.raises((ModelCrashed, DeadlineExceeded)):
            await cheating
        assert [await ask(models) for models in (one, two)] == [2, 2]
        assert psutil.Process().memory_info().rss < resident + 64 * 1024 * 1024
    await no_children()


async def test_conflicting_dependencies_are_served_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for name, version in (("old", "1.0"), ("new", "2.0")):
        save(root, name, CONFLICT, python="venv", env={"MOOD": name}, working_dir=".")
        environment(root / name / "venv", marker=version)
    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        assert len(workers()) == 2
        for models in (one, two):
            for name, version in (("old", "1.0"), ("new", "2.0")):
                (answer,) = (await models.infer(name, text=["?"])).values()
                assert answer.tolist() == [f"{version} {name} {root / name}".encode()]


async def test_a_model_in_a_shared_worker_calls_another(tmp_path: Path) -> None:
    root = save(tmp_path)
    save(root, "caller", CALLER)
    x = np.ones((2, 3), np.float32)
    async with brokered() as broker:
        attempts = {"lifecycle.load_attempts": 5}
        async with guest(root, broker, **attempts) as one, guest(root, broker, **attempts) as two:
            answers = await asyncio.gather(*(m.infer("caller", x=x) for m in (one, two) * 4))
            for outputs in answers:
                np.testing.assert_array_equal(*outputs.values(), np.full((2, 3), 3))
            assert len(workers()) == 2


async def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    """Each answer is right or a typed error, each death is counted once, nothing is leaked."""
    root, kills = save(tmp_path, count=2), 6
    over = asyncio.Event()
    answered = failed = 0

    async def client(models: Models, number: int) -> None:
        nonlocal answered, failed
        while not over.is_set():
            try:
                assert await ask(models, value=number, timeout_s=5.0) == 2 * number
                answered += 1
            except (ModelCrashed, DeadlineExceeded):
                failed += 1

    async with brokered() as broker, guest(root, broker) as one, guest(root, broker) as two:
        stats = [stats for models in (one, two) for stats in models._service.stats]
        descriptors = psutil.Process().num_fds()
        clients = [
            asyncio.create_task(client(models, n)) for models in (one, two) for n in range(8)
        ]
        for kill in range(kills):
            await asyncio.sleep(0.4)
            await until(lambda: all(s.ready == 2 for s in stats))
            workers()[0].kill()
            await until(lambda done=kill: sum(s.worker_deaths for s in stats) == done + 1)
        over.set()
        await asyncio.wait_for(asyncio.gather(*clients), 30.0)
        await until(lambda: all(s.ready == 2 for s in stats))
        assert answered > 50 * kills
        assert failed <= 16 * kills
        assert psutil.Process().num_fds() < descriptors + 16
    await no_children()
