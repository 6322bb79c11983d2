"""Finding libnghttp2, or telling how to get it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from penstock.core.errors import ConfigError
from penstock.server.grpc import GrpcServer
from penstock.server.grpc_engine import check_engine, load_engine
from penstock.server.grpc_http2 import library


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without the library."""
    monkeypatch.setattr(library, "_candidates", lambda: ["libnothing.so.1"])
    library.find_library.cache_clear()
    yield
    library.find_library.cache_clear()


def test_it_is_there() -> None:
    check_engine("nghttp2")
    assert library.require_library().version.startswith("1.")


@pytest.mark.usefixtures("nowhere")
def test_nghttp2_by_name_and_no_library() -> None:
    for ask in (check_engine, load_engine):
        with pytest.raises(ConfigError, match=r"grpc\.engine: .*apt install libnghttp2-14"):
            ask("nghttp2")


@pytest.mark.usefixtures("nowhere")
def test_auto_without_the_library_is_grpcio_and_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    caplog.set_level(logging.INFO)
    check_engine("auto")
    assert load_engine("auto") is GrpcServer
    (line,) = {r.getMessage() for r in caplog.records if r.name == "penstock.grpc"}
    assert line.endswith(library.HOW_TO_GET_IT)


@pytest.mark.usefixtures("nowhere")
def test_a_library_that_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_candidates", lambda: ["libnghttp2.so.14"])
    monkeypatch.setattr(library, "_LEAST_VERSION", 0x7F0000)
    assert library.find_library() is None


def test_grpcio_is_not_imported_for_nghttp2() -> None:
    code = (
        "import sys; from penstock.server.grpc_engine import load_engine; "
        "load_engine('auto'); import penstock.server.grpc_api.api; "
        "print([m for m in ('grpc', 'grpc_reflection', 'cffi', 'pycparser') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert run.stdout == "[]\n", run.stderr
