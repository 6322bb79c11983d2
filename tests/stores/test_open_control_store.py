"""URLs of control stores: strict, helpful, and silent about passwords."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ConfigError
from penstock.stores.open_control_store import control_file_url, open_control_store
from penstock.stores.postgres_control_store import PostgresControlStore
from penstock.stores.postgres_url import parse_postgres_url
from penstock.stores.redis_control_store import RedisControlStore
from penstock.stores.sqlite_control_store import SqliteControlStore


def names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///control.db", SqliteControlStore),
        ("redis://localhost", RedisControlStore),
        ("rediss://user:pw@host/15?max_connections=3", RedisControlStore),
        ("unix:///run/redis.sock?db=4", RedisControlStore),
        ("postgresql://me:pw@host/db", PostgresControlStore),
        ("postgres://host:1/db?sslmode=verify-full&schema=a_1", PostgresControlStore),
    ],
)
async def test_each_scheme_opens_its_store(
    url: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_control_store(url, is_new=True)
    assert type(store) is kind
    await store.close()
    assert names_in(tmp_path) == []  # nothing happens before the first call


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "got no scheme"),
        ("control.db", "got no scheme"),
        ("memory://", "expected sqlite:///file.db"),
        ("etcd://host", "got 'etcd'"),
        ("postgre://host/db", "did you mean postgres://?"),
        ("postgrexql://host/db", "did you mean postgresql://?"),
        ("reddis://host", "did you mean redis"),
        ("sqlit:///x.db", "did you mean sqlite://?"),
        ("sqlite://", "file"),
        ("sqlite:///x.db?max_bytes=1MiB", "max_bytes"),
        ("sqlite:////nowhere/at/all/file.db", "'/nowhere/at/all'"),
        ("redis://", "host"),
        ("redis://host/0?db=1", "'db'"),
        ("redis://host?max_connections=0", "max_connections"),
        ("postgresql://", "host"),
        ("postgresql:///db", "host"),
        ("postgresql://host", "database"),
        ("postgresql://host/", "database"),
        ("postgresql://host/a/b", "database"),
        ("postgresql://host:port/db", "port"),
        ("postgresql://one:1,two:2/db", "one host:port"),
        ("postgresql://host/db?sslmod=require", "'sslmod'"),
        ("postgresql://host/db?sslmode=perhaps", "verify-full"),
        ("postgresql://host/db?schema=a;b", "schema"),
        ("postgresql://host/db?schema=A", "schema"),
        ("postgresql://host/db?schema=a&schema=b", "twice"),
        ("postgresql://host/db?schema", "name=value"),
        ("postgresql://host/db?host=/run", "twice"),
        ("postgresql:///db?host=run", "folder"),
        ("postgresql://host/db#x", "#"),
    ],
)
def test_a_wrong_part_is_named(url: str, part: str) -> None:
    with pytest.raises(ConfigError, match="store URL") as refusal:
        open_control_store(url)
    assert part in refusal.value.message


PASSWORDS = ["hunter2", "hun/ter2", "hun#ter2", "hun?ter2", "12/ter2", "12?ter2=", "12/x?ter2=1"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["redis", "postgresql", "postgre", "nope"])
@pytest.mark.parametrize("tail", ["x/y", "x", "x?schema=B", "x#"])
def test_no_error_holds_a_password(scheme: str, password: str, tail: str) -> None:
    said: ConfigError | None = None
    try:
        open_control_store(f"{scheme}://u:{password}@host/{tail}")
    except ConfigError as refusal:
        said = refusal
    assert said is None or ("ter2" not in said.message and said.__cause__ is None)


def test_a_database_is_read() -> None:
    url = "postgresql://me%40home:p%2Fw%23@host:1/my%20db?sslmode=require&sslrootcert=/a%20b.pem"
    read = parse_postgres_url(url)
    assert (read.username, read.password, read.database) == ("me@home", "p/w#", "my db")
    assert read.dsn == "postgresql:///?sslmode=require&sslrootcert=%2Fa+b.pem"
    assert str(read) == repr(read) == "postgresql://host:1/my db"
    assert str(parse_postgres_url("postgresql://[::1]/db")) == "postgresql://[::1]:5432/db"
    socket = parse_postgres_url("postgresql://me@:5433/db?host=/run/postgresql")
    assert (socket.host, socket.port, socket.username) == ("/run/postgresql", 5433, "me")


@given(
    st.text(max_size=30), st.sampled_from(["", "redis://", "postgresql://", "sqlite:///", "x://"])
)
def test_any_text_is_read_or_refused(text: str, scheme: str) -> None:
    with contextlib.suppress(ConfigError):
        open_control_store(scheme + text)


@pytest.mark.parametrize(
    ("url", "module", "how"),
    [
        ("redis://localhost", "redis_control_store", r"pip install 'penstock\[redis\]'"),
        ("postgresql://host/db", "postgres_control_store", r"pip install 'penstock\[postgres\]'"),
    ],
)
def test_a_missing_driver_says_how_to_install_it(
    url: str, module: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"penstock.stores.{module}", None)
    with pytest.raises(ConfigError, match=how):
        open_control_store(url)


async def test_a_file_of_any_name_has_a_url(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%é.db"
    store = open_control_store(control_file_url(path), is_new=True)
    assert await store.desired() == []
    await store.close()
    assert names_in(tmp_path) == [path.name]
