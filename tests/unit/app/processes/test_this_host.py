"""Where a pid means something."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from penstock.app.processes import this_host as module
from penstock.app.processes.this_host import this_host


def test_it_is_told_by_name_and_stays_the_same() -> None:
    assert this_host().split("#")[0] == socket.gethostname()
    assert this_host() == this_host()


def test_hosts_of_one_name_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot, told = tmp_path / "boot_id", set()
    monkeypatch.setattr(module, "_BOOT", boot)
    for number in range(3):
        boot.write_text(f"boot {number}\n")
        told.add(this_host())
    assert len(told) == 3


def test_where_the_kernel_tells_nothing_the_name_has_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BOOT", tmp_path / "nothing")
    assert this_host() == socket.gethostname()
