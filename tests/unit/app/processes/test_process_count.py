"""How many processes ``auto`` is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.app.processes.process_count import process_count

CPUS = len(os.sched_getaffinity(0))


def test_a_number_is_that_many() -> None:
    assert process_count(7) == 7


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000", CPUS),
        ("50000 100000", 1),
        (f"{(CPUS - 1) * 100000 + 1} 100000", CPUS),
        ("99900000 100000", CPUS),
        ("garbage", CPUS),
        ("", CPUS),
        ("100000 0", CPUS),
    ],
)
def test_auto_is_what_this_process_may_use(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert process_count("auto", path) == count
    assert process_count("auto", tmp_path / "nothing") == CPUS
