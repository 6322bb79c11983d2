"""The service as a process: it stops without loss, refuses to start unsafe, outlives its store."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.stores.backend import Backend
from penstock.stores.open_backend import open_backend
from tests.apps.tweet_sentiment.live import ROOT, Live, live, redis_server

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
TWEETS = 300
SECRET = "kept-very-secret"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "tweets.jsonl"
    rows = [
        {
            "id": str(number),
            "author": f"a{number % 7}",
            "createdAt": "2025-11-21T12:00:00Z",
            "text": f"love number {number}",
        }
        for number in range(1, TWEETS + 1)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


async def ask(client: httpx.AsyncClient, number: int) -> httpx.Response:
    params = {"tweetUrl": f"https://x.com/a/status/{number}"}
    return await client.get("/api/v1/inference", params=params)


async def count(backend: Backend, prefix: str) -> int:
    return sum([len(page) async for page in backend.scan(prefix)])


async def ask_all(service: Live) -> list[Any]:
    async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        responses = await asyncio.gather(*(ask(client, n) for n in range(1, TWEETS + 1)))
    assert {response.status_code for response in responses} == {200}
    return [response.json() for response in responses]


@pytest.mark.fault
async def test_sigterm_with_writes_pending_loses_none(tmp_path: Path, archive: Path) -> None:
    settings = {"archive_path": archive, "predict_on_start": 0}
    with live(tmp_path, **settings) as service:
        answers = await ask_all(service)
        assert not any(answer["cached"] for answer in answers)
        assert await asyncio.to_thread(service.stop) == 0
    backend = open_backend(f"sqlite:///{tmp_path / 'store.db'}")
    assert await count(backend, "p:tweet-sentiment:") == TWEETS
    assert await count(backend, "e:tweet-sentiment:") == TWEETS
    await backend.close()
    with live(tmp_path, **settings) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            params = {"since": "2025-11-01", "until": "2025-12-01"}
            top = (await client.get("/api/v1/authors/top", params=params)).json()
            assert sum(row["counts"]["total"] for row in top["authors"]) == TWEETS
        assert await asyncio.to_thread(service.stop) == 0
    log = service.log.read_text()
    assert "Traceback" not in log


@needs_redis
@pytest.mark.fault
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_redis_dies_or_hangs_under_load_and_no_prediction_fails(
    tmp_path: Path, archive: Path, how: signal.Signals
) -> None:
    with redis_server(tmp_path) as (url, redis):
        settings = {"archive_path": archive, "redis_url": url, "predict_on_start": 0}
        with live(tmp_path, drain_timeout_s=1, **settings) as service:
            async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
                statuses = []
                for number in range(1, TWEETS + 1):
                    if number == TWEETS // 3:
                        redis.send_signal(how)
                    both = await asyncio.gather(ask(client, number), ask(client, 1))
                    statuses += [response.status_code for response in both]
                metrics = (await client.get("/metrics")).text
            assert set(statuses) == {200}
            assert "tweet_sentiment_store_errors_total" in metrics
            assert await asyncio.to_thread(service.stop) == 0


@needs_redis
@pytest.mark.fault
async def test_redis_absent_at_start_is_used_when_it_comes(tmp_path: Path, archive: Path) -> None:
    nowhere = "redis://:" + SECRET + "@127.0.0.1:1/0"
    settings = {"archive_path": archive, "redis_url": nowhere, "predict_on_start": 0}
    with live(tmp_path, drain_timeout_s=0.5, **settings) as service:
        await ask_all(service)
        assert await asyncio.to_thread(service.stop) == 0
    assert SECRET not in service.log.read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"APP_ENV": "production"}, "FIRST_SUPERUSER_PASSWORD"),
        ({"APP_ENV": "production", "FIRST_SUPERUSER_PASSWORD": ""}, "FIRST_SUPERUSER_PASSWORD"),
        ({"PORT": "many", "FIRST_SUPERUSER_PASSWORD": SECRET}, "PORT"),
        ({"TWEET_SOURCE": "x"}, "X_BEARER_TOKEN"),
    ],
)
def test_what_must_not_start_does_not(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    environ = os.environ | settings
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "apps.tweet_sentiment"]
    ended = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr


async def test_rebuild_from_the_shell(tmp_path: Path, archive: Path) -> None:
    with live(tmp_path, archive_path=archive) as service:
        await ask_all(service)
        assert await asyncio.to_thread(service.stop) == 0
    environ = os.environ | {"STORE_URL": f"sqlite:///{tmp_path / 'store.db'}"}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "apps.tweet_sentiment", "rebuild"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stdout.strip() == f"{TWEETS} tweets of 7 authors counted"
