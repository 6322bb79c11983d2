"""Formats, their fields and their packages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any, get_args

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.batch.sources.open_files import open_file_source
from penstock.jobs.batch.spec_inputs import FileInput, ParquetInput
from penstock.repository.manifest_shape import check_shape

FIELDS: dict[str, dict[str, Any]] = {"xml": {"row": "item"}}
KINDS = {str(kind.__struct_config__.tag): kind for kind in get_args(FileInput)}


@pytest.mark.parametrize("name", KINDS)
def test_every_format_is_read_from_a_job_and_opened(name: str) -> None:
    fields = {"path": "in/*", **FIELDS.get(name, {})}
    check_shape(fields, "job.yaml", KINDS[name])
    spec = msgspec.convert({"format": name, **fields}, FileInput)
    assert type(spec) is KINDS[name]
    source = open_file_source(spec, 10)
    assert type(source).__module__.startswith("penstock.jobs.batch.sources.")
    source.close()


@pytest.mark.parametrize("name", KINDS)
def test_an_unknown_field_is_named(name: str) -> None:
    fields = {"path": ["a", "b"], **FIELDS.get(name, {}), "pth": "x"}
    with pytest.raises(ConfigError, match=r"job\.yaml: \$\.pth: unknown field, did you mean"):
        check_shape(fields, "job.yaml", KINDS[name])


def test_without_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"need Arrow: pip install 'penstock\[batch\]'"):
        open_file_source(ParquetInput(path="a"), 10)


def test_without_the_parser_of_xml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml.ElementTree", None)
    monkeypatch.delitem(sys.modules, "penstock.jobs.batch.sources.xml_source", raising=False)
    spec = msgspec.convert({"format": "xml", "path": "a", "row": "b"}, FileInput)
    with pytest.raises(
        ConfigError, match=r"XML needs the package defusedxml: pip install 'penstock\[xml\]'"
    ):
        open_file_source(spec, 10)


def test_a_spec_is_read_without_arrow() -> None:
    code = "import penstock.jobs.batch.spec_inputs, penstock, sys; print('pyarrow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
