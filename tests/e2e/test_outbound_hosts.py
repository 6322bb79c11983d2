"""Whom a rollout's plan may have the server tell, from the setting to the call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.core.errors import InvalidArgument
from penstock.rollout.outside import http_call
from penstock.rollout.spec import RolloutSpec, Webhook
from tests.e2e.test_embedded_traffic import SETTINGS, VERSION, until
from tests.unit.rollout.outside_server import outside_server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in (1, 2):
        place = tmp_path / "models" / "m" / str(version)
        place.mkdir(parents=True)
        (place / "model.py").write_text(VERSION.format(version=version))
    (tmp_path / "models" / "m" / "model.yaml").write_text("version_policy: {specific: [1]}\n")
    return tmp_path / "models"


def telling(url: str) -> RolloutSpec:
    return RolloutSpec(model="m", candidate=2, interval_s=0.1, webhook=Webhook(url=url, attempts=1))


async def test_a_host_that_the_setting_does_not_name_is_refused(repository: Path) -> None:
    settings: dict[str, Any] = {**SETTINGS, "outbound_hosts": ["hook.example:443"]}
    async with penstock.serving(repository, settings=settings) as models:
        traffic = await models.traffic()
        with pytest.raises(InvalidArgument, match="setting outbound_hosts"):
            await traffic.start(telling("http://127.0.0.1:1/x"))


@pytest.mark.parametrize("leads_to", ["169.254.169.254", "127.0.0.1"])
async def test_where_a_host_leads_is_looked_at_with_the_call(
    repository: Path,
    leads_to: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http_call, "_peer", lambda sock: (leads_to, 80))
    is_refused = leads_to.startswith("169.254.")
    with outside_server() as outside:
        async with penstock.serving(repository, settings=SETTINGS) as models:
            traffic = await models.traffic()
            await traffic.start(telling(f"{outside.url}/secret"))

            async def is_dealt_with() -> bool:
                return bool(outside.asked) or "webhook was not told" in caplog.text

            await until(is_dealt_with)
        assert bool(outside.asked) is not is_refused
    assert ("is a link-local address" in caplog.text) is is_refused
    assert "secret" not in caplog.text
