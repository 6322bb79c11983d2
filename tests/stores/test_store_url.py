"""Store URLs: strict, helpful, and silent about passwords."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ConfigError
from penstock.stores.memory_backend import MemoryBackend
from penstock.stores.open_backend import open_backend
from penstock.stores.sqlite_backend import SqliteBackend
from penstock.stores.store_url import parse_store_url, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("memory:", "memory://"),
        ("memory://?max_bytes=64MiB", "memory://"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("sqlite:////tmp/a%20b.db", "sqlite:////tmp/a b.db"),
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://LOCALHOST:1/2", "redis://localhost:1/2"),
        ("redis://[::1]:6380/", "redis://[::1]:6380/0"),
        ("rediss://user:pw@host/15?max_connections=3", "rediss://host:6379/15"),
        ("unix:///run/redis.sock?db=4", "unix:///run/redis.sock?db=4"),
    ],
)
def test_an_address_is_read(url: str, shown: str) -> None:
    assert str(parse_store_url(url)) == shown


def test_names_and_passwords_are_unquoted() -> None:
    address = parse_store_url("redis://me%40home:p%2Fw%23@host")
    assert (address.username, address.password) == ("me@home", "p/w#")
    assert parse_store_url("redis://:pw@host").password == "pw"
    assert parse_store_url("unix://:pw@/run/redis.sock").password == "pw"
    assert "pw" not in repr(parse_store_url("redis://:pw@host"))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "scheme"),
        ("localhost:6379", "scheme"),
        ("postgres://x", "scheme"),
        ("memory://host", "no host"),
        ("memory://?max_byte=1", "max_byte"),
        ("memory://?max_bytes=1&max_bytes=2", "twice"),
        ("memory://?max_bytes", "name=value"),
        ("memory://?max_bytes=lots", "max_bytes"),
        ("memory://#x", "#"),
        ("sqlite://", "file"),
        ("sqlite://file.db", "file"),
        ("sqlite:///", "file"),
        ("sqlite:////nowhere/at/all/file.db", "'/nowhere/at/all'"),
        ("redis://", "host"),
        ("redis:///0", "host"),
        ("redis://host:port", "port"),
        ("redis://host:99999", "port"),
        ("redis://[::1", "host"),
        ("redis://host/db", "database"),
        ("redis://host/1/2", "database"),
        ("redis://host/0?db=1", "'db'"),
        ("redis://host?max_connections=0", "max_connections"),
        ("redis://host?max_connections=-1", "max_connections"),
        ("unix://", "path"),
        ("unix://host/path", "host"),
        ("unix:///path?db=x", "database"),
    ],
)
def test_a_wrong_part_is_named(url: str, part: str) -> None:
    with pytest.raises(ConfigError, match="store URL") as refusal:
        open_backend(url)
    assert part in refusal.value.message


PASSWORDS = ["hunter2", "hun/ter2", "hun#ter2", "hun?ter2", "12/ter2", "12?ter2=", "12/x?ter2=1"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "nope"])
def test_no_error_holds_a_password(scheme: str, password: str) -> None:
    url = f"{scheme}://u:{password}@host/x"
    with pytest.raises(ConfigError) as refusal:
        parse_store_url(url)
    assert "ter2" not in refusal.value.message
    assert refusal.value.__cause__ is None
    assert "ter2" not in without_password(url)


@given(
    st.text(max_size=30), st.sampled_from(["", "redis://", "memory://", "sqlite:///", "unix://"])
)
def test_any_text_is_read_or_refused(text: str, scheme: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_store_url(scheme + text)


async def test_each_scheme_opens_its_backend(tmp_path: Path) -> None:
    assert isinstance(open_backend("memory://?max_bytes=1k"), MemoryBackend)
    sqlite = open_backend(f"sqlite:///{tmp_path}/s.db")
    assert isinstance(sqlite, SqliteBackend)
    assert not (tmp_path / "s.db").exists()  # nothing happens before the first call
    await sqlite.close()
    redis = open_backend("redis://127.0.0.1:1/0")
    assert type(redis).__name__ == "RedisBackend"
    await redis.close()


def test_a_missing_client_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "penstock.stores.redis_backend", None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[redis\]'"):
        open_backend("redis://localhost")
