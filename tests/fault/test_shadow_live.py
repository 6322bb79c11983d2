"""A real server whose shadow breaks: clients see nothing of it, and the counts say all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.interop.live import AT_ONCE, Live, eventually, text_input
from tests.interop.models import save_python

GOOD = '''
from penstock import Model


class Shouting(Model):
    """Upper case."""

    def predict(self, text: list[str]) -> list[str]:
        return [item.upper() for item in text]
'''


def broken(statement: str) -> str:
    """The same model, which does something else to the requests of the test."""
    before = "        return [item.upper()"
    return GOOD.replace(
        before, f'        if text[0].startswith("item"):\n            {statement}\n{before}'
    )


RAISING = broken('raise RuntimeError("the shadow is on fire")')
DYING = broken("import os; os._exit(9)")
STALLING = broken("import time; time.sleep(600)")
OTHER = GOOD.replace("item.upper()", 'item.upper().replace("3", "three")')
WORKERS = "version_policy: all\ninstances: {kind: process, count: 1}\n"


def seen(server: Live) -> dict[str, Any]:
    answer = server.ask("GET", "/v2/routes/shout").json()
    shadow: dict[str, Any] = answer["seen"]["shadow"]
    return shadow


def shadowed(server: Live, **shadow: Any) -> None:
    """Version 1 answers, version 2 is its shadow."""
    stable = {"name": "stable", "version": 1, "weight": 100}
    route = {"variants": [stable], "shadow": {"version": 2, **shadow}}
    reply = server.ask("PUT", "/v2/routes/shout", route)
    assert reply.status == 200, reply.body


def repository(folder: Path, shadow: str, manifest: str) -> Path:
    save_python(folder / "models" / "shout" / "1" / "model.py", GOOD)
    save_python(folder / "models" / "shout" / "2" / "model.py", shadow)
    (folder / "models" / "shout" / "model.yaml").write_text(manifest)
    return folder / "models"


@pytest.mark.parametrize(
    ("shadow", "manifest", "expected"),
    [
        (GOOD, "version_policy: all\n", {"pairs": 10, "agreed": 10, "errors": 0, "shed": 0}),
        (OTHER, "version_policy: all\n", {"pairs": 10, "agreed": 9, "errors": 0, "shed": 0}),
        (RAISING, "version_policy: all\n", {"pairs": 0, "agreed": 0, "errors": 10, "shed": 0}),
        (DYING, WORKERS, {"pairs": 0, "agreed": 0}),
        (STALLING, WORKERS, {"pairs": 0, "agreed": 0, "errors": 0, "shed": 10}),
    ],
    ids=["good", "other", "raising", "dying", "stalling"],
)
@pytest.mark.timed
def test_clients_get_the_primarys_answers_at_once(
    shadow: str, manifest: str, expected: dict[str, int], tmp_path: Path
) -> None:
    models = repository(tmp_path, shadow, manifest)
    with Live([models], *AT_ONCE, folder=tmp_path) as server:
        shadowed(server, timeout_s=1.0 if shadow in (DYING, STALLING) else 60.0)
        began_s = time.monotonic()
        with server.rest() as rest:
            for number in range(10):
                reply = rest.infer("shout", text_input(f"item {number}"))
                assert reply.status == 200
                assert reply.json()["outputs"][0]["data"] == [f"ITEM {number}"]
                assert reply.json()["model_version"] == "1"
        assert time.monotonic() - began_s < 5
        eventually(lambda: sum(seen(server)[name] for name in ("pairs", "errors", "shed")) == 10)
        assert {name: seen(server)[name] for name in expected} == expected
        told = server.log_text().count("; further cases are only counted")
        assert (told > 0) is (shadow in (RAISING, DYING, STALLING))
        assert told <= 2  # one of each kind
        assert server.ask("DELETE", "/v2/routes/shout").status == 200
