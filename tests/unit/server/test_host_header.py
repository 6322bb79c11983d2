"""What a request must say of its host."""

from __future__ import annotations

import pytest

from penstock.server.host_header import host_fault


@pytest.mark.parametrize(
    ("version", "hosts", "fault"),
    [
        ("1.1", [b"localhost:8080"], None),
        ("1.1", [b"127.0.0.1"], None),
        ("1.1", [b"[::1]:8080"], None),
        ("1.1", [b"[fe80::1]"], None),
        ("1.1", [b"models_1.example.com:"], None),
        ("1.1", [b""], None),
        ("1.1", [], "HTTP/1.1 needs the header 'Host'"),
        ("1.0", [], None),
        ("1.0", [b"a"], None),
        ("1.1", [b"a", b"b"], "expected one header 'Host', got 2"),
        ("1.1", [b"a", b"a"], "expected one header 'Host', got 2"),
        ("1.0", [b"a", b"b"], "expected one header 'Host', got 2"),
        ("1.1", [b"a b"], "the header 'Host' is no host and port"),
        ("1.1", [b"a/b"], "the header 'Host' is no host and port"),
        ("1.1", [b"user@a"], "the header 'Host' is no host and port"),
        ("1.1", [b"a:port"], "the header 'Host' is no host and port"),
        ("1.1", [b"::1"], "the header 'Host' is no host and port"),
        ("1.1", [b"a\xff"], "the header 'Host' is no host and port"),
        ("1.0", [b"a b"], "the header 'Host' is no host and port"),
    ],
)
def test_a_host_is_demanded_once_and_whole(
    version: str, hosts: list[bytes], fault: str | None
) -> None:
    headers = [(b"accept", b"*/*"), *((b"host", host) for host in hosts), (b"x-host", b"x")]
    assert host_fault(headers, version) == fault
