"""Addresses of databases: what is read of them, and that no secret is shown."""

from __future__ import annotations

import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.batch.databases.sql_text import literal, quote, table_name
from penstock.jobs.batch.databases.sql_url import parse_sql_url
from penstock.jobs.batch.spec_tables import RedisOutput, SqlInput, SqlOutput

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cr3t@host/db", "postgresql://host:5432/db"),
        ("postgres://u:s3cr3t@[::1]:6000/db?sslmode=require", "postgresql://[::1]:6000/db"),
        ("postgresql:///db?host=/run/pg&password=s3cr3t", "postgresql:///run/pg:5432/db"),
        ("mariadb://u:s3cr3t@host/db", "mysql://host:3306/db"),
        ("mysql://u:${WORD}@host:1/db?ssl_ca=/ca.pem", "mysql://host:1/db"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
        ("duckdb:////a/b.db", "duckdb:////a/b.db"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    parsed = parse_sql_url(url, {"WORD": SECRET})
    assert str(parsed) == repr(parsed) == shown
    assert (
        SECRET not in parsed.masked(f"the password is {SECRET}, is it?") or "s3" not in parsed.text
    )


def test_a_password_is_masked_as_it_is_and_as_the_url_has_it() -> None:
    parsed = parse_sql_url("mysql://u:a%2Fb@host/db")
    assert parsed.password == "a/b"
    assert parsed.masked("a/b and a%2Fb") == "*** and ***"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("oracle://u:s3cr3t@host/db", "must be one of postgresql://, .*duckdb://"),
        ("postgresql://u:s3cr3t@host", "expected postgresql://host:5432/database"),
        ("postgresql://u:s3cr3t/@host/db", "the host or the port is wrong|behind the host"),
        ("postgresql://u:s3#cr3t@host/db", "%23"),
        ("mysql://u:s3cr3t@host/db?tls=1", "no option 'tls'"),
        ("sqlite://host/file", "expected sqlite:///relative"),
        ("sqlite:///", "expected sqlite:///relative"),
        ("sqlite:///a?x=1", "takes no options"),
        ("postgresql://${NOPE}@host/db", "the environment has no NOPE"),
    ],
)
def test_what_is_wrong_is_told_without_secrets(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        parse_sql_url(url, {})
    assert SECRET not in str(caught.value)
    assert "cr3t" not in str(caught.value)


def test_specs_show_no_password() -> None:
    url = "postgresql://u:s3cr3t@host/db"
    for spec in (
        SqlInput(url=url, key="id"),
        SqlOutput(url=url, table="t", key=("id",)),
        RedisOutput(url=url, key="k"),
    ):
        assert SECRET not in repr(spec)
        assert SECRET not in str(spec)


def test_names_and_values_cannot_break_out() -> None:
    assert quote('a"b') == '"a""b"'
    assert literal("it's \\ 'so'") == "'it''s \\ ''so'''"
    assert literal(-5) == "-5"
    assert table_name("s.t") == '"s"."t"'
    for bad in ("a.b.c", "", "a b", 'a"', "a;b", ".a"):
        with pytest.raises(ConfigError, match=r"expected NAME or SCHEMA\.NAME"):
            table_name(bad)
