"""Every URL of a plan is checked, and shown without its secret."""

from __future__ import annotations

import pytest

from penstock.core.errors import InvalidArgument
from penstock.rollout.spec import ErrorRateGate, PrometheusGate, ShadowStage, Webhook
from penstock.rollout.spec_urls import check_hosts, urls_of, without_secrets
from tests.unit.rollout.rollouts import a_spec

ASKS = PrometheusGate(url="http://prom/secret", query="up", max=1)
SPEC = a_spec(
    webhook=Webhook(url="https://hook/secret"),
    gates=(ErrorRateGate(), ASKS),
    shadow=ShadowStage(gates=(ASKS,)),
)


def test_every_url_is_shown_without_its_secret() -> None:
    assert len(list(urls_of(SPEC))) == 3
    assert {url for _, url in urls_of(without_secrets(SPEC))} == {
        "http://prom/...",
        "https://hook/...",
    }
    assert without_secrets(a_spec()) == a_spec()


@pytest.mark.parametrize(
    ("hosts", "path"),
    [(("prom",), r"\$\.webhook\.url"), (("hook",), r"\$\.gates\[1\]\.url")],
)
def test_every_url_is_checked(hosts: tuple[str, ...], path: str) -> None:
    check_hosts(SPEC, ("prom", "hook"))
    check_hosts(SPEC, ())
    with pytest.raises(InvalidArgument, match=path):
        check_hosts(SPEC, hosts)
