"""ByteSize: text to bytes, and back for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.byte_size import ByteSize, show_bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (17, 17),
        ("17", 17),
        ("256MiB", 256 * 1024**2),
        ("1.5 GB", 1_500_000_000),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("64k", 64_000),
        ("64K", 64_000),
        (" 2 ti ", 2 * 1024**4),
        ("3B", 3),
        ("0.0001k", 1),
        (ByteSize(5), 5),
    ],
)
def test_numbers_and_units_are_read(value: object, expected: int) -> None:
    size = ByteSize.parse(value)
    assert size == expected
    assert type(size) is ByteSize


@pytest.mark.parametrize(
    "value",
    ["", "MiB", "-1", "1 PiB", "1,5GB", "1e3", "٣", -1, 1.5, True, None, [], 2**63, "9" * 30],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        ByteSize.parse(value)


@pytest.mark.parametrize(
    ("num_bytes", "down", "up"),
    [
        (0, "0 B", "0 B"),
        (1, "1 B", "1 B"),
        (1023, "1023 B", "1023 B"),
        (1024, "1 KiB", "1 KiB"),
        (1500, "1.4 KiB", "1.5 KiB"),
        (1024**2 - 1, "1023.9 KiB", "1024 KiB"),
        (20 * 1024**2, "20 MiB", "20 MiB"),
        (20 * 1024**2 + 1, "20 MiB", "20.1 MiB"),
        (5 * 1024**3 // 2, "2.5 GiB", "2.5 GiB"),
        (5000 * 1024**4, "5000 TiB", "5000 TiB"),
    ],
)
def test_a_size_is_shown_to_a_tenth(num_bytes: int, down: str, up: str) -> None:
    assert (show_bytes(num_bytes), show_bytes(num_bytes, round_up=True)) == (down, up)


@given(less=st.integers(0, 2**50), more=st.integers(1, 2**20))
def test_what_needs_more_never_reads_as_what_there_is(less: int, more: int) -> None:
    assert show_bytes(less + more, round_up=True) != show_bytes(less)
