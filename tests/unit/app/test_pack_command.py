"""``penstock pack`` and ``penstock inspect``, through their real entry point."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.interop.models import save_repository
from tests.unit.app.shell import Ran, Shell
from tests.unit.repository.packed import save_keys

ECHO = """
from penstock import Model


class Echo(Model):
    def predict(self, text: list[str]) -> list[str]:
        return text
"""


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of ``shout`` version 4, a Python model."""
    folder = tmp_path / "models/shout/4"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(ECHO)
    (folder.parent / "model.yaml").write_text("description: repeats\n")
    return folder


def told(ran: Ran) -> Mapping[str, Any]:
    assert ran.code == 0, ran.err
    value = json.loads(ran.out)
    assert isinstance(value, dict)
    return value


def test_a_package_tells_all_there_is_to_tell(
    shell: Shell, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (version / "metrics.json").write_text('{"auc": 0.9, "val": {"loss": 1}}')
    (version / "requirements.txt").write_text("# ours\nnumpy>=2\n\npillow\n")
    given = ("--metric", "auc=0.95", "--metric", "n=3", "--data-fingerprint", "sha256:abc")
    value = told(shell("pack", str(version), *given, "--json"))
    assert value["package"] == "shout-4.pst"
    assert (value["name"], value["version"], value["runtime"]) == ("shout", 4, "python")
    assert value["entry"] == "model.py"
    paths = [file["path"] for file in value["files"]]
    assert paths == ["model.yaml", "metrics.json", "model.py", "requirements.txt"]
    assert value["requirements"] == {"packages": ["numpy>=2", "pillow"]}
    assert value["provenance"] == {
        "metrics": {"auc": 0.95, "n": 3.0, "val.loss": 1.0},
        "data_fingerprint": "sha256:abc",
        "created": "2023-11-14T22:13:20Z",
        "created_by": f"penstock {penstock.__version__}",
    }
    assert value["signature"]["inputs"][0]["name"] == "text"
    assert value["signed_by"] is None


def test_the_same_folder_gives_the_same_bytes_anywhere(
    shell: Shell, version: Path, tmp_path: Path
) -> None:
    private, _ = save_keys(tmp_path)
    copy = tmp_path / "elsewhere/shout/4"
    shutil.copytree(version.parent, copy.parent)
    for folder, target in ((version, "one.pst"), (copy, "two.pst")):
        ran = shell("pack", str(folder), "-o", target, "--sign-key", str(private))
        assert ran.code == 0, ran.err
    assert Path("one.pst").read_bytes() == Path("two.pst").read_bytes()
    assert sorted(path.suffix for path in Path().iterdir() if path.is_file()) == (
        [".pem", ".pem", ".pst", ".pst"]
    )


def test_an_onnx_package_names_what_it_needs(shell: Shell, tmp_path: Path) -> None:
    models = save_repository(tmp_path / "onnx")
    value = told(shell("pack", str(models / "simple/1"), "-o", "s.pst", "--json"))
    assert value["requirements"]["install"] == "pip install 'penstock[onnx]'"
    assert {tensor["datatype"] for tensor in value["signature"]["inputs"]} == {"INT32"}


def test_the_commit_and_changes_since_are_told(shell: Shell, version: Path) -> None:
    def git(*args: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ["git", "-C", str(version.parent), *who, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    value = told(shell("pack", str(version), "-o", "clean.pst", "--json"))
    assert value["provenance"]["git_commit"] == git("rev-parse", "HEAD")
    assert "git_dirty" not in value["provenance"]
    (version / "words.txt").write_text("new")
    value = told(shell("pack", str(version), "-o", "dirty.pst", "--json"))
    assert value["provenance"]["git_dirty"] is True
    assert "with changes" in shell("inspect", "dirty.pst").out


def test_a_model_for_worker_processes_is_looked_at_without_any(shell: Shell, version: Path) -> None:
    (version.parent / "model.yaml").write_text("instances: {kind: process, count: 2}")
    value = told(shell("pack", str(version), "--json"))
    assert value["signature"]["outputs"]


def test_name_and_version_may_be_given(shell: Shell, version: Path) -> None:
    value = told(shell("pack", str(version), "--name", "loud", "--version", "0", "--json"))
    assert (value["package"], value["name"], value["version"]) == ("loud-0.pst", "loud", 0)


def test_a_model_that_does_not_load_is_not_packed_unless_asked(shell: Shell, version: Path) -> None:
    (version / "model.py").write_text("raise RuntimeError('no weights')")
    ran = shell("pack", str(version))
    assert ran.code == 1
    assert "no weights" in ran.err
    assert "--no-check" in ran.err
    assert not list(Path().glob("*.pst"))
    value = told(shell("pack", str(version), "--no-check", "--json"))
    assert "signature" not in value


def test_a_model_that_needs_what_is_not_packed_does_not_load(shell: Shell, version: Path) -> None:
    """What is loaded is what is packed: a hidden file beside it does not help."""
    (version / ".weights").write_text("1")
    (version / "model.py").write_text(
        ECHO + "    def load(self, context):\n        (context.path / '.weights').read_text()\n"
    )
    ran = shell("pack", str(version))
    assert ran.code == 1
    assert ".weights" in ran.err


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("nowhere",), "No such file"),
        (("models/shout",), "holds versions"),
        (("models/shout/4", "-o", "models/shout/4/m.pst"), "in the folder that is packed"),
        (("models/shout/4", "--name", "a/b"), "cannot be a model's name"),
        (("models/shout/4", "--metric", "auc"), "--metric takes name=number, got 'auc'"),
        (("models/shout/4", "--metric", "auc=high"), "--metric takes name=number"),
        (("models/shout/4", "--metric", "auc=nan"), "--metric auc: expected a finite number"),
        (("models/shout/4", "--sign-key", "none.pem"), "none.pem: key cannot be read"),
    ],
)
def test_wrong_usage_is_said_and_nothing_written(
    shell: Shell, version: Path, args: tuple[str, ...], why: str
) -> None:
    assert version.is_dir()
    ran = shell("pack", *args)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert not list(Path().rglob("*.pst"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a mapping of names to numbers, got list"),
        ('{"a": {"b": "high"}}', "'a.b': expected a number, got str"),
        ('{"a": true}', "'a': expected a number, got bool"),
        ('{"a": NaN}', "'a': expected a finite number"),
        ('{"a": 1' + "0" * 400 + "}", "'a': expected a finite number"),
    ],
)
def test_wrong_metrics_are_said(shell: Shell, version: Path, text: str, why: str) -> None:
    (version / "metrics.json").write_text(text)
    ran = shell("pack", str(version))
    assert ran.code == 2
    assert "metrics.json" in ran.err
    assert why in ran.err


def test_a_wrong_date_is_said(shell: Shell, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert "SOURCE_DATE_EPOCH: expected whole seconds" in shell("pack", str(version)).err


def test_inspect_is_for_people_too(shell: Shell, version: Path, tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    assert shell("pack", str(version), "-o", "m.pst", "--sign-key", str(private)).code == 0
    ran = shell("inspect", "m.pst")
    assert "shout version 4" in ran.out
    assert "not checked: give --trusted-key" in ran.out
    assert "every digest is right" in ran.out
    assert "not checked" not in shell("inspect", "m.pst", "--trusted-key", str(public)).out


def test_inspect_refuses_what_is_damaged_or_a_strangers(
    shell: Shell, version: Path, tmp_path: Path
) -> None:
    assert shell("pack", str(version), "-o", "m.pst").code == 0
    _, public = save_keys(tmp_path)
    ran = shell("inspect", "m.pst", "--trusted-key", str(public))
    assert (ran.code, ran.out) == (1, "")
    assert "not signed" in ran.err
    content = bytearray(Path("m.pst").read_bytes())
    content[-2000] ^= 1
    Path("m.pst").write_bytes(content)
    ran = shell("inspect", "m.pst")
    assert ran.code == 1
    assert "damaged" in ran.err or "not what" in ran.err
    assert shell("inspect", "none.pst").code == 2
