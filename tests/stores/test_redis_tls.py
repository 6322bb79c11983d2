"""Redis over TLS: a certificate that is trusted, one that is not, and one of another host."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.core.errors import StoreError
from penstock.stores.backend import Item
from penstock.stores.control_store import Wish
from penstock.stores.open_backend import open_backend
from penstock.stores.open_control_store import open_control_store
from tests.stores.redis_server import RedisServer, free_port

DAY = datetime.timedelta(days=1)


class Tls(NamedTuple):
    """A server that takes TLS: its URL, and the file of who vouches for it."""

    url: str
    authority: Path


@pytest.fixture
def tls(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Tls:
    return start(tmp_path, make_redis, "127.0.0.1")


def start(folder: Path, make_redis: Callable[..., RedisServer], host: str) -> Tls:
    certificate, key = certify(folder, host)
    port = free_port()
    make_redis(
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(certificate)),
    ).start()
    return Tls(f"rediss://127.0.0.1:{port}/0", certificate)


def certify(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate of an address that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "redis.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "redis.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "redis.crt", folder / "redis.key"


async def test_what_is_trusted_is_used(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    backend = open_backend(tls.url)
    await backend.set_many([Item("a", b"1")])
    assert await backend.get_many(["a", "b"]) == [b"1", None]
    await backend.close()
    store = open_control_store(tls.url, is_new=True)
    await store.change(Wish("route/m", {"x": 1}, "me", "why"))
    (change,) = await store.desired()
    assert change.value == {"x": 1}
    await store.close()


async def test_what_nobody_vouches_for_is_not(tls: Tls) -> None:
    await refused(tls.url)


async def test_another_hosts_certificate_is_none(
    tmp_path: Path, make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = start(tmp_path, make_redis, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    await refused(tls.url)


async def refused(url: str) -> None:
    backend = open_backend(url)
    with pytest.raises(StoreError, match="TLS: certificate verify failed"):
        await backend.get_many(["a"])
    await backend.close()
