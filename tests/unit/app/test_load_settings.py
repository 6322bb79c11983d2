"""Settings: precedence, origins, and refusals that say where and what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.app.load_settings import load_settings, setting_types, setting_values
from penstock.app.settings import Settings
from penstock.core.errors import ConfigError


def load(
    environ: dict[str, str] | None = None,
    flags: dict[str, Any] | None = None,
    config: str | None = None,
) -> tuple[Settings, dict[str, str]]:
    settings, origin = load_settings(config=config, environ=environ or {}, flags=flags or {})
    return settings, origin.of


def refusal(**layers: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**layers)
    return caught.value.message


def test_nothing_given_is_the_defaults() -> None:
    assert load() == (Settings(), {})


def test_file_is_beaten_by_environment_and_that_by_flags(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("http: {port: 1, backlog: 11}\ngrpc: {port: 2}\nhost: a\nserver_name: f\n")
    environ = {"PENSTOCK_GRPC__PORT": "20", "PENSTOCK_HOST": "b"}
    settings, origins = load(environ, {"host": "c"}, str(file))
    assert (settings.http.port, settings.http.backlog) == (1, 11)
    assert (settings.grpc.port, settings.host, settings.server_name) == (20, "c", "f")
    assert origins == {
        "http.port": str(file),
        "http.backlog": str(file),
        "server_name": str(file),
        "grpc.port": "environment variable PENSTOCK_GRPC__PORT",
        "host": "command line",
    }


def test_which_file_is_read(tmp_path: Path) -> None:
    Path("penstock.yaml").write_text("host: found")
    (tmp_path / "v.yaml").write_text("host: variable")
    (tmp_path / "f.yaml").write_text("host: flag")
    assert load()[0].host == "found"
    environ = {"PENSTOCK_CONFIG": "v.yaml"}
    assert load(environ)[0].host == "variable"
    assert load(environ, config="f.yaml")[0].host == "flag"


@pytest.mark.parametrize("value", ["a,b", " a , b ,"])
def test_list_from_text(value: str) -> None:
    assert load({"PENSTOCK_LOAD_MODELS": value})[0].load_models == ("a", "b")
    assert load(flags={"load_models": value})[0].load_models == ("a", "b")


@pytest.mark.parametrize(("value", "size"), [("512MiB", 512 * 2**20), ("7", 7), (0, 0)])
def test_size_from_text_or_number(value: object, size: int) -> None:
    assert load(flags={"memory.budget_bytes": value})[0].memory.budget_bytes == size


def test_list_replaces_the_list_below(tmp_path: Path) -> None:
    Path("penstock.yaml").write_text("load_models: [x, y]")
    assert load()[0].load_models == ("x", "y")
    assert load(flags={"load_models": ["z"]})[0].load_models == ("z",)
    assert load({"PENSTOCK_LOAD_MODELS": ""})[0].load_models == ()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False)]
)
def test_boolean_from_text(text: str, value: bool) -> None:
    assert load({"PENSTOCK_GRPC__ENABLED": text})[0].grpc.enabled is value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("http.port", "99999", "a whole number from 0 to 65535, got '99999'"),
        ("http.port", -1, "a whole number from 0 to 65535, got -1"),
        ("http.port", True, "a whole number from 0 to 65535, got True"),
        ("http.port", "http", "a whole number from 0 to 65535, got 'http'"),
        ("http.port", "80.5", "a whole number from 0 to 65535, got '80.5'"),
        ("lifecycle.load_attempts", 0, "a whole number >= 1, got 0"),
        ("watch.poll_interval_s", "0", "a number > 0, got '0'"),
        ("drain_timeout_s", "soon", "a number >= 0, got 'soon'"),
        ("drain_timeout_s", "nan", "a number >= 0, got 'nan'"),
        ("drain_timeout_s", "inf", "a number >= 0, got 'inf'"),
        ("grpc.enabled", "maybe", "true or false, got 'maybe'"),
        ("model_control", "poll", "one of watch, explicit, none, got 'poll'"),
        ("host", 127, "text, got 127"),
        ("host", None, "text, got nothing"),
        ("memory.budget_bytes", "much", "a number of bytes, such as 512MiB, got 'much'"),
        ("memory.budget_bytes", -1, "a number of bytes, such as 512MiB, got -1"),
        ("load_models", [1], "a list of text (in an environment variable or flag"),
    ],
)
def test_wrong_value_says_what_is_expected(name: str, value: object, expected: str) -> None:
    message = refusal(flags={name: value})
    assert message.startswith(f"command line: setting '{name}': expected {expected}")


def test_wrong_value_says_where_it_came_from() -> None:
    assert refusal(environ={"PENSTOCK_HTTP__PORT": "x"}).startswith(
        "environment variable PENSTOCK_HTTP__PORT: setting 'http.port':"
    )
    Path("penstock.yaml").write_text("http: {port: x}")
    assert refusal().startswith("penstock.yaml: setting 'http.port':")


def test_a_wrong_value_below_is_refused_even_where_it_is_overridden() -> None:
    Path("penstock.yaml").write_text("http: {port: x}")
    assert "http.port" in refusal(flags={"http.port": 1})


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"flags": {"http.prot": 1}}, "'http.prot', did you mean 'http.port'?"),
        ({"flags": {"backlog": 1}}, "'backlog', did you mean 'http.backlog'?"),
        ({"environ": {"PENSTOCK_HOTS": "a"}}, "'hots', did you mean 'PENSTOCK_HOST'?"),
        (
            {"environ": {"PENSTOCK_HTTP_PORT": "1"}},
            "'http_port', did you mean 'PENSTOCK_HTTP__PORT'?",
        ),
        ({"flags": {"qqqqqq": 1}}, "'qqqqqq', known: control_store, drain_timeout_s,"),
    ],
)
def test_unknown_name_says_the_nearest(layers: Any, said: str) -> None:
    assert f"unknown setting {said}" in refusal(**layers)


def test_unknown_group_in_a_file() -> None:
    Path("penstock.yaml").write_text("telemtry: {tracing: true}")
    assert refusal() == "penstock.yaml: unknown setting 'telemtry', did you mean 'telemetry'?"


def test_a_group_is_no_setting() -> None:
    assert refusal(environ={"PENSTOCK_HTTP": "1"}).startswith(
        "environment variable PENSTOCK_HTTP: 'http' is a group of settings; set one of "
        "PENSTOCK_HTTP__PORT, PENSTOCK_HTTP__BACKLOG"
    )
    Path("penstock.yaml").write_text("http: 8080")
    assert refusal() == (
        "penstock.yaml: 'http' is a group of settings: expected a mapping, got 8080"
    )


def test_file_that_cannot_be_read() -> None:
    assert refusal(config="no.yaml") == "no.yaml: cannot be read: no such file or directory"
    Path("list.yaml").write_text("- a")
    assert refusal(config="list.yaml").startswith("list.yaml: settings file: expected a mapping")
    Path("bad.yaml").write_text("a: [")
    assert refusal(config="bad.yaml").startswith("bad.yaml:2:1: not valid YAML")


def test_empty_file_and_empty_group() -> None:
    Path("penstock.yaml").write_text("http:\n")
    assert load() == (Settings(), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PENSTOCK_URL", "http://elsewhere:1"),
        ("PENSTOCK_REDIS_PASSWORD", "secret"),
        ("PENSTOCK_KAFKA_USERNAME", "me"),
        ("PENSTOCK_SERVICE_HOST", "10.0.0.1"),
        ("PENSTOCK_SERVICE_PORT", "8080"),
        ("PENSTOCK_SERVICE_PORT_HTTP", "8080"),
        ("PENSTOCK_PORT", "tcp://10.0.0.1:8080"),
        ("PENSTOCK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("PENSTOCK_PORT_8080_TCP_PROTO", "tcp"),
        ("PENSTOCK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("PENSTOCK_CANARY_SERVICE_HOST", "fd00::1"),
        ("PENSTOCK_CANARY_PORT", "tcp://[fd00::1]:8080"),
    ],
)
def test_variables_that_are_no_settings(name: str, value: str) -> None:
    assert load({name: value}) == (Settings(), {})


def test_a_port_that_kubernetes_did_not_set_is_a_mistake() -> None:
    assert "unknown setting 'port'" in refusal(environ={"PENSTOCK_PORT": "8080"})


def test_names_types_and_values_agree() -> None:
    values = setting_values(Settings())
    assert list(values) == list(setting_types())
    assert values["http.limits.max_body_bytes"] == 1024**3
