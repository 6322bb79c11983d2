"""ByteSize: text to bytes."""

from __future__ import annotations

import pytest

from penstock.core.byte_size import ByteSize


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
