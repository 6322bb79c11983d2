"""Images in folders."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.spec_inputs import ImagesInput

from .reading import opened, read_all, read_splits


def save(folder: Path, name: str, colour: tuple[int, int, int] = (255, 0, 0)) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 4), colour).save(path)
    return path


def test_bytes_of_the_files_that_are_images(tmp_path: Path) -> None:
    paths = [save(tmp_path, name) for name in ("a.png", "b.jpg", "sub/c.gif")]
    (tmp_path / "notes.txt").write_text("no image")
    save(tmp_path, ".hidden.png")
    source = opened(ImagesInput(path=str(tmp_path)), split_rows=2)
    assert [(one.start, one.stop) for one in source.plan()] == [(0, 2), (2, 3)]
    found = read_all(source)
    assert found.good == [{"path": str(path), "image": path.read_bytes()} for path in paths]
    assert read_all(source.only(["path"])).good == [{"path": str(path)} for path in paths]


@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_pixels_of_one_size(tmp_path: Path, layout: str) -> None:
    save(tmp_path, "a.png", (1, 2, 3))
    spec = ImagesInput(path=str(tmp_path), height=2, width=3, layout=layout)
    source = opened(spec)
    (split,) = source.plan()
    (piece,) = source.read(split, 10, 1_000_000)
    pixels = piece.batch.column("image").to_numpy_ndarray()
    expected = np.broadcast_to(np.array([1, 2, 3], np.uint8), (1, 2, 3, 3))
    if layout == "chw":
        expected = expected.transpose(0, 3, 1, 2)
    assert np.array_equal(pixels, expected)


def test_what_is_no_picture_is_a_bad_row(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    cut = save(tmp_path, "2.png")
    cut.write_bytes(cut.read_bytes()[:40])
    (tmp_path / "3.jpg").write_bytes(b"text")
    (tmp_path / "4.png").write_bytes(b"")
    save(tmp_path, "5.png")
    found = read_all(opened(ImagesInput(path=str(tmp_path), height=2, width=2)), max_rows=2)
    assert [Path(one["path"]).name for one in found.good] == ["1.png", "5.png"]
    assert [one.row for one in found.bad] == [1, 2, 3]
    assert "3.jpg: no picture" in found.bad[1].error.message
    assert found.bad[1].raw == b"text"


def test_one_that_is_too_large(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").write_bytes(b"x" * 10_000)
    found = read_all(opened(ImagesInput(path=str(tmp_path), max_row_bytes=5000)))
    assert len(found.good) == 1
    assert "2.png: is longer than 5000 bytes" in found.bad[0].error.message


def test_one_with_more_pixels_than_memory(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    found = read_all(opened(ImagesInput(path=str(tmp_path), height=2, width=2)))
    assert "bomb.png" in found.bad[0].error.message
    assert "pixels" in found.bad[0].error.message


def test_files_that_came_or_changed_since_they_were_planned(tmp_path: Path) -> None:
    first = save(tmp_path, "b.png")
    spec = ImagesInput(path=str(tmp_path))
    source = opened(spec)
    splits = list(source.plan())
    save(tmp_path, "a.png")
    with pytest.raises(JobInputError, match="came, went or changed since it was planned"):
        read_splits(opened(spec), splits)
    os.utime(first, ns=(1, 1))
    with pytest.raises(JobInputError, match=r"b\.png: was changed since it was planned"):
        read_splits(source, splits)


def test_half_a_size() -> None:
    with pytest.raises(ConfigError, match="height and width: expected both, or neither"):
        opened(ImagesInput(path="a", height=3))
