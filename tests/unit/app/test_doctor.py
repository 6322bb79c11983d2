"""``penstock doctor``: origins, checks, exit status."""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest

from penstock.app.cli import checks
from penstock.app.cli.checks import Check, run_checks
from penstock.app.settings import GrpcSettings, HttpSettings, Settings, TelemetrySettings
from penstock.runtime.runtime import RuntimeEntry
from tests.unit.app.shell import Shell, StubServer

FREE = Settings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))
ANY_PORT = ("--set", "http.port=0", "--set", "grpc.port=0")


def check(name: str, settings: Settings = FREE) -> Check:
    return next(found for found in run_checks(settings) if found.name == name)


def test_origins(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.yaml").write_text("host: localhost\nserver_name: x\n")
    monkeypatch.setenv("PENSTOCK_SERVER_NAME", "y")
    ran = shell("doctor", "--config", "mine.yaml", *ANY_PORT, "--json")
    told = json.loads(ran.out)
    found = {row["name"]: (row["value"], row["origin"]) for row in told["settings"]}
    assert ran.code == 0
    assert told["ok"] is True
    assert found["host"] == ("localhost", "mine.yaml")
    assert found["server_name"] == ("y", "environment variable PENSTOCK_SERVER_NAME")
    assert found["http.port"] == (0, "command line")
    assert found["model_control"] == ("watch", "default")


def test_table(shell: Shell) -> None:
    ran = shell("doctor", *ANY_PORT)
    assert ran.code == 0
    assert re.search(r"^http\.port +0 +command line$", ran.out, re.MULTILINE)
    assert not any(line.endswith(" ") for line in ran.out.splitlines())


def test_wrong_settings_are_a_finding(shell: Shell) -> None:
    ran = shell("doctor", "--set", "http.port=x")
    assert ran.code == 1
    assert "broken" in ran.out
    assert "command line: setting 'http.port': expected a whole number" in ran.out
    assert shell("doctor", "--set", "nonsense").code == 2


def test_port_in_use_by_something_else(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = shell("doctor", "--set", f"http.port={port}", "--set", "grpc.port=0")
    assert ran.code == 1
    assert "address already in use: set http.port, or penstock serve --http-port" in ran.out


def test_port_in_use_by_a_server(stub: StubServer) -> None:
    stub.answers["GET /v2"] = (200, {"name": "penstock", "version": "9"})
    port = int(stub.url.rsplit(":", 1)[1])
    found = check("HTTP port", Settings(http=HttpSettings(port=port)))
    assert found.status == "warning"
    assert found.detail.endswith("in use, by penstock 9")


def test_both_doors_on_one_port() -> None:
    same = Settings(http=HttpSettings(port=7), grpc=GrpcSettings(port=7))
    assert check("ports", same).status == "broken"


def test_missing_runtime_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = RuntimeEntry("m", "C", requires="no_such_package", install="pip install it")
    monkeypatch.setattr(checks, "RUNTIMES", {"strange": entry})
    found = check("runtime strange")
    assert found == Check(
        "runtime strange", "missing", "no_such_package is not installed", "pip install it"
    )


def test_every_runtime_is_checked() -> None:
    assert check("runtime python").status == "ok"
    assert check("runtime onnx").detail.startswith("onnxruntime ")


def test_missing_extra_matters_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_is_installed", lambda module: False)
    assert check("tracing (otel)").status == "missing"
    traced = Settings(http=FREE.http, grpc=FREE.grpc, telemetry=TelemetrySettings(tracing=True))
    found = check("tracing (otel)", traced)
    assert (found.status, found.fix) == ("broken", "pip install 'penstock[otel]'")


def test_what_jobs_need_is_listed_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_is_installed", lambda module: False)
    found = checks.run_checks(FREE)
    fixes = {one.fix for one in found if one.status == "missing"}
    kinds = ("batch", "sql", "http", "xml", "kafka", "nats", "rabbitmq", "ray", "beam", "spark")
    assert {f"pip install 'penstock[{kind}]'" for kind in kinds} <= fixes


def test_what_is_listed_is_what_an_extra_installs() -> None:
    """The names of packages, their modules and the extras are the project's own."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for extra in checks._EXTRAS:
        name = extra.install.partition("[")[2].partition("]")[0]
        if not name:
            continue
        required = {re.split(r"[^\w-]", one)[0] for one in project["optional-dependencies"][name]}
        assert set(extra.packages) <= required, extra.name


def test_missing_base_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        return ["numpy>=1.26", "no-such-package-x>=1", "pillow; extra == 'image'"]

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    found = check("penstock")
    assert (found.status, found.fix) == ("broken", "pip install no-such-package-x")


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        ram_bytes = 1024

    monkeypatch.setattr(checks, "available_memory", Little)
    assert check("memory").status == "warning"


def test_processors_say_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit: Any = tmp_path / "cpu.max"
    limit.write_text("150000 100000\n")
    monkeypatch.setattr(checks, "_CPU_LIMIT", limit)
    assert check("processors").detail.endswith("limited to 1.5 by the control group")


def test_a_control_store_that_cannot_be() -> None:
    found = {c.name: c for c in checks.run_checks(Settings(control_store="etcd://there"))}
    assert found["control store"].status == "broken"
    assert "sqlite:///" in found["control store"].detail
    assert "control store" not in {c.name for c in checks.run_checks(Settings())}


@pytest.mark.parametrize(
    ("engine", "status"), [("auto", "missing"), ("nghttp2", "broken"), ("grpcio", "ok")]
)
def test_the_engine_of_grpc(
    engine: Literal["auto", "nghttp2", "grpcio"], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(http=FREE.http, grpc=GrpcSettings(port=0, engine=engine))
    assert check("gRPC engine", settings).status == "ok"
    monkeypatch.setattr(checks, "find_library", lambda: None)
    found = check("gRPC engine", settings)
    assert found.status == status
    assert ("apt install libnghttp2-14" in found.fix) is (status != "ok")
