"""Whom the server may ask, and how little of a URL is shown."""

from __future__ import annotations

import pytest

from penstock.core.errors import InvalidArgument
from penstock.rollout.outside.outbound import check_address, check_host, shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/..."),
        ("http://prometheus:9090", "http://prometheus:9090"),
        ("http://prometheus:9090/", "http://prometheus:9090"),
        ("http://prometheus:9090?token=x", "http://prometheus:9090/..."),
        ("http://[::1]:9090/x#y", "http://[::1]:9090/..."),
        ("http://u:p@host/", "http://host"),
        ("http://host:port/x", "..."),
    ],
)
def test_of_a_url_only_the_host_is_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert shown_url(shown) == shown


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://anybody/x", ()),
        ("http://10.0.0.1/x", ()),
        ("https://Hooks.example/x", ("hooks.example",)),
        ("https://hooks.example/x", ("a", "HOOKS.example:443")),
        ("http://[::1]:9090/", ("::1",)),
        ("http://[::1]:9090/", ("[::1]:9090",)),
        ("http://169.254.1.1/", ("169.254.1.1",)),
    ],
)
def test_who_may_be_asked(url: str, hosts: tuple[str, ...]) -> None:
    check_host(url, hosts, "webhook.url")


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://169.254.169.254/latest/meta-data", ()),
        ("http://[fe80::1]/", ()),
        ("http://[::ffff:169.254.169.254]/", ()),
        ("http://hooks.example.evil/", ("hooks.example",)),
        ("http://hooks.example:81/", ("hooks.example:80",)),
        ("http://hooks.example@evil/", ("hooks.example",)),
        ("http://10.0.0.1/", ("hooks.example",)),
    ],
)
def test_who_may_not_be_asked(url: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"^webhook\.url: .*setting outbound_hosts"):
        check_host(url, hosts, "webhook.url")


def test_addresses_with_a_zone_are_link_local_too() -> None:
    with pytest.raises(InvalidArgument):
        check_address("fe80::1%eth0", "url")
    check_address("127.0.0.1", "url")
    check_address("host", "url")
