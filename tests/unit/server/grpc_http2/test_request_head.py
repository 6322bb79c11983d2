"""What header fields ask for."""

from __future__ import annotations

import pytest

from penstock.core.errors import InvalidArgument
from penstock.server.grpc_http2.request_head import TIMEOUT, read_timeout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"2H", 7200),
        (b"2M", 120),
        (b"2S", 2),
        (b"2m", 2e-3),
        (b"2u", 2e-6),
        (b"2n", 2e-9),
        (b"0S", 0),
        (b"99999999H", 99999999 * 3600),
    ],
)
def test_every_unit(text: bytes, seconds: float) -> None:
    assert read_timeout({TIMEOUT: text}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", [b"", b"S", b"5", b"5s", b"-5S", b"5.5S", b"123456789S", b"5 S", b"\xc2\xb2S", b"5SS"]
)
def test_what_is_no_timeout(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="grpc-timeout should be at most 8 digits"):
        read_timeout({TIMEOUT: text})


def test_none() -> None:
    assert read_timeout({}) is None
