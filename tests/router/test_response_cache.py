"""The response cache from model.yaml to answer, in a whole server without sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.app.build import build
from penstock.app.settings import ResponseCacheSettings, Settings
from penstock.core.errors import ConfigError
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.metrics import MetricsPage

COUNT = """
import penstock

class Count(penstock.Model):
    def load(self, context):
        self.calls = 0

    def predict(self, text: list[str]) -> list[str]:
        self.calls += 1
        return [f"{one} {self.calls}" for one in text]
"""


def put(repository: Path, name: str, manifest: str = "") -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(COUNT)
    if manifest:
        (repository / name / "model.yaml").write_text(manifest)


async def ask(models: penstock.Models, model: str, text: str) -> str:
    (array,) = (await models.infer(model, text=[text])).values()
    answer: bytes = array[0]
    return answer.decode()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/cache.db"])
async def test_only_models_that_ask_for_it_are_cached(tmp_path: Path, url: str) -> None:
    put(tmp_path / "models", "cached", "response_cache: {ttl_s: 60}\n")
    put(tmp_path / "models", "plain")
    settings = {"model_control": "none", "response_cache.url": url.format(tmp_path)}
    async with penstock.serving(tmp_path / "models", settings=settings) as models:
        first = await ask(models, "cached", "a")
        assert await ask(models, "cached", "a") == first
        assert await ask(models, "cached", "b") != first
        assert await ask(models, "cached", "a") == first
        assert await ask(models, "plain", "a") != await ask(models, "plain", "a")
    if "sqlite" not in url:
        return
    async with penstock.serving(tmp_path / "models", settings=settings) as models:
        assert await ask(models, "cached", "a") == first  # pending writes were drained at the end


async def test_hits_and_misses_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "cached", "response_cache: {}\n")
    async with penstock.serving(tmp_path, settings={"model_control": "none"}) as models:
        for _ in range(3):
            await ask(models, "cached", "a")
        service = models._service
        stats = service.statistics("cached")[0]
        assert (stats.success.count, stats.cache_hit.count, stats.cache_miss.count) == (3, 2, 1)
        assert stats.execution_count >= 1
        page = MetricsPage(lambda: service.stats, list, service.edge).render()[0].decode()
    seen: dict[Any, float] = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
    }
    assert seen["penstock_response_cache_requests_total", "1", "cached", "hit"] == 2
    assert seen["penstock_response_cache_requests_total", "1", "cached", "miss"] == 1
    assert seen["penstock_store_lookups_total", "hit", "response_cache"] == 2
    assert service.edge.stores == []  # closed with the last cached version


async def test_a_wrong_url_is_told_at_start(tmp_path: Path) -> None:
    settings = Settings(response_cache=ResponseCacheSettings(url="redish://localhost"))
    with pytest.raises(ConfigError, match="scheme"):
        build([str(tmp_path)], settings, LevelSwitch())


async def test_a_version_that_cannot_be_loaded_leaves_no_store(tmp_path: Path) -> None:
    put(tmp_path, "cached", "response_cache: {}\n")
    (tmp_path / "cached/1/model.py").write_text("raise RuntimeError\n")
    with pytest.raises(penstock.PenstockError):
        async with penstock.serving(tmp_path, settings={"lifecycle.load_attempts": 1}):
            pass
