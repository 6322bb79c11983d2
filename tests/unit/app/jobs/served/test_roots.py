"""What files a job over HTTP may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.app.jobs.served.roots import Roots
from penstock.core.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file; beside it a secret, and links that lead there."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.csv").write_text("x\n1\n")
    root = tmp_path / "data"
    (root / "in").mkdir(parents=True)
    (root / "in/a.csv").write_text("x\n1\n")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "in/b[1].csv").symlink_to(tmp_path / "secret/a.csv")
    return root


def test_what_is_below_a_root_is_allowed(root: Path) -> None:
    roots = Roots([str(root), "s3://bucket/data/"])
    roots.check_input(str(root / "in/a.csv"))
    roots.check_input((str(root / "in/*.csv"), f"file://{root}/in", str(root)))
    roots.check_output(str(root / "new/out"))
    roots.check_input("s3://bucket/data/x/*.parquet")
    roots.check_output("s3://bucket/data")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{root}/../secret/a.csv",
        "{root}/*/../../secret/a.csv",
        "{root}/link/a.csv",
        "{root}/link/*.csv",
        "{root}2/a.csv",
        "{root}/in/../in/a.csv",
        "file:///etc/passwd",
        "file://{root}/../secret/a.csv",
        "data/in/a.csv",
        "/*/passwd",
        "*",
        "simplecache::s3://bucket/data/x",
        "s3://bucket/data/a::file:///etc/passwd",
        "s3://bucket/database/x",
        "s3://bucket/data/../other/x",
        "s3://bucket/data/%2e%2e/other/x",
        "s3://other/data/x",
        "local:///etc/passwd",
    ],
)
def test_what_is_elsewhere_is_refused(root: Path, path: str) -> None:
    roots = Roots([str(root), "s3://bucket/data"])
    for check in (roots.check_input, roots.check_output):
        with pytest.raises(ConfigError, match=r"jobs\.roots"):
            check(path.format(root=root))


def test_without_roots_nothing_is_allowed(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"input\.path.*upload the file"):
        Roots([]).check_input(str(root / "in/a.csv"))
    with pytest.raises(ConfigError, match=r"output\.path"):
        Roots([]).check_output("/")


def test_a_root_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    Roots([str(alias)]).check_input(str(alias / "in/a.csv"))
    Roots([str(alias)]).check_input(str(root / "in/a.csv"))


def test_a_file_that_a_pattern_finds_behind_a_link_is_refused(root: Path) -> None:
    roots = Roots([str(root)])
    roots.check_files(str(root / "in/a.csv"))
    for path in ("in/*.csv", "in", "*/a.csv", "in/b[[]1].csv", "in/b[1].csv"):
        with pytest.raises(ConfigError, match="not below"):
            roots.check_files(str(root / path))
