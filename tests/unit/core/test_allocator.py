"""What is freed is taken again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from penstock.core.allocator import keep_freed_memory

_COUNT_FAULTS = """
import resource
import sys
import numpy as np
from penstock.core.allocator import keep_freed_memory

def take():
    for block in [np.empty(2**20, np.uint8) for _ in range(32)]:
        block[::4096] = 1

if sys.argv[1] == "kept":
    keep_freed_memory()
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_PAGES = 10 * 32 * 256


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_blocks_of_several_requests_are_not_asked_of_the_kernel_again() -> None:
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", _COUNT_FAULTS, how]))
        for how in ("kept", "given back")
    }
    assert faults["kept"] < _PAGES / 20
    assert faults["given back"] > _PAGES / 2  # else there is nothing to keep


def test_a_c_library_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    keep_freed_memory()
