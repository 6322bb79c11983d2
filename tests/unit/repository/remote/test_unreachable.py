"""A server that cannot be reached: who it is, why, and what to check."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from huggingface_hub import constants

from penstock.repository.remote.remote_fault import explain
from penstock.repository.remote.remote_store import RemoteOptions
from penstock.repository.remote.remote_url import parse_remote_url
from penstock.repository.remote.unreachable import why_unreachable

NETWORK = "this machine's network and HTTPS_PROXY"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


class ConnectError(Exception):
    """As httpx names it."""


class EndpointConnectionError(Exception):
    """As botocore names it, with the fields of its text."""

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(endpoint_url)
        self.kwargs = {"endpoint_url": endpoint_url}


class ClientConnectorError(OSError):
    """As aiohttp names it."""

    host = "storage.test"
    port = 443


class OfflineModeIsEnabled(ConnectionError):
    """As the hub's client names it."""


class ProxyError(Exception):
    """As httpx and requests name it."""


def caused(error: Exception, cause: BaseException) -> Exception:
    """The error as it is when it was raised from that cause."""
    error.__cause__ = cause
    return error


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://user:SECRET@hub.test/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry.test:5000")


@pytest.mark.parametrize(
    ("url", "error", "expected"),
    [
        (
            "hf://a/b",
            caused(ConnectError(), socket.gaierror(-2, "Name or service not known")),
            "the hub at hub.test cannot be reached (no such host is known here): "
            f"check HF_ENDPOINT, {NETWORK}",
        ),
        (
            "hf://a/b",
            ConnectError(),
            f"the hub at hub.test cannot be reached: check HF_ENDPOINT, {NETWORK}",
        ),
        (
            "hf://a/b",
            OfflineModeIsEnabled(),
            "the hub at hub.test is not asked, because HF_HUB_OFFLINE is set: unset it",
        ),
        (
            "s3://bucket/m",
            EndpointConnectionError("http://user:SECRET@minio.test:9000/bucket?sig=SECRET"),
            "the store at minio.test:9000 cannot be reached: "
            f"check AWS_ENDPOINT_URL or the region, {NETWORK}",
        ),
        (
            "gs://bucket/m",
            ClientConnectorError(errno.EHOSTUNREACH, "No route to host"),
            "the store at storage.test:443 cannot be reached (no route to it): "
            f"check STORAGE_EMULATOR_HOST, {NETWORK}",
        ),
        (
            "az://box/m",
            ProxyError(),
            "the store cannot be reached (its proxy does not answer): "
            f"check AZURE_STORAGE_ACCOUNT_NAME, {NETWORK}",
        ),
        (
            "models:/m@best",
            caused(ConnectionError(), REFUSED),
            "the registry at registry.test:5000 cannot be reached (connection refused): check "
            f"MLFLOW_TRACKING_URI, whether that server runs, {NETWORK}",
        ),
        (
            "https://files.test:8443/m.onnx?sig=SECRET",
            REFUSED,
            "files.test:8443 cannot be reached (connection refused): "
            f"check the host in the address, {NETWORK}",
        ),
        ("https://files.test/m.onnx", ConnectionError("the answer broke off"), None),
        ("https://files.test/m.onnx", ConnectionResetError(), None),
        ("s3://bucket/m", ValueError(), None),
    ],
)
def test_it_says_who_why_and_what_to_check(
    url: str, error: Exception, expected: str | None
) -> None:
    assert why_unreachable(parse_remote_url(url), error) == expected


def test_an_error_that_may_pass_names_the_address_too() -> None:
    url = parse_remote_url("hf://a/b")
    error = explain(url, "model.onnx", ConnectError(), RemoteOptions())
    assert error.message.startswith("hf://a/b: model.onnx: the hub at hub.test cannot be reached")
    assert error.retryable


def test_a_certificate_that_is_not_trusted_is_no_broken_network() -> None:
    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    untrusted.verify_message = "self-signed certificate"
    error = explain(
        parse_remote_url("hf://a/b"), "", caused(ConnectError(), untrusted), RemoteOptions()
    )
    assert "not trusted: self-signed certificate" in error.message
    assert not error.retryable
