"""What a serving process is told is what the supervisor knows."""

from __future__ import annotations

import msgspec
import pytest

from penstock.app.load_settings import load_settings
from penstock.app.processes.handover import (
    Deaths,
    Failed,
    Go,
    Handover,
    ToProcess,
    ToSupervisor,
    Up,
    line,
    settings_in,
    settings_out,
)
from penstock.app.settings import Settings

FLAGS = {
    "memory.budget_bytes": "3GiB",
    "processes": "auto",
    "load_models": "a,b",
    "lifecycle.max_backoff_s": 0.125,
    "packages.trusted_keys": "one.pem,two.pem",
    "response_cache.url": "redis://user:p%40ss@host/3",
    "http.limits.body_timeout_s": 1,
    "server_name": 'a "name"\nwith \u2028 everything',
}


@pytest.mark.parametrize("flags", [{}, FLAGS])
def test_settings_come_across_exactly(flags: dict[str, object]) -> None:
    settings, _ = load_settings(config=None, environ={}, flags=flags)
    told = Handover((), settings_out(settings), "/f", "/f/control.db", 3, 0)
    text = line(told)
    assert text.count(b"\n") == 1
    again = msgspec.json.decode(text, type=ToProcess)
    assert settings_in(again.settings) == settings


def test_a_handover_holds_every_setting() -> None:
    assert set(settings_out(Settings())) == set(Settings.__struct_fields__)


@pytest.mark.parametrize("message", [Go(3, announces=True), Deaths(2)])
def test_what_the_supervisor_says(message: ToProcess) -> None:
    assert msgspec.json.decode(line(message), type=ToProcess) == message


@pytest.mark.parametrize("message", [Up(), Failed("ConfigError", "no")])
def test_what_a_process_says(message: ToSupervisor) -> None:
    assert msgspec.json.decode(line(message), type=ToSupervisor) == message
