"""The committed pipeline, with another model that answers what the test wants."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from penstock.core.dtype import DType
from penstock.core.tensor import Array, Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.python_runtime import PythonExecutable, PythonRuntime
from tests.unit.models.committed import EXAMPLES, MODELS, artifact, held_out


class FakeDigits:
    """Plays the model ``digits``: sure of the digit 4, unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[Array] = []
        self.confidence = 0.9

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        assert (model, version, list(inputs)) == ("digits", "", ["pixels"])
        self.asked.append(inputs["pixels"])
        rows = len(inputs["pixels"])
        probabilities = np.full((rows, 10), (1 - self.confidence) / 9, np.float32)
        probabilities[:, 4] = self.confidence
        return {"label": np.full(rows, 4), "probabilities": probabilities}


@pytest.fixture
def digits() -> FakeDigits:
    return FakeDigits()


@pytest.fixture
def pipeline(digits: FakeDigits) -> Iterator[PythonExecutable]:
    executable = PythonRuntime().load(artifact("digits-pipeline", 1, "model.py"), digits)
    yield executable
    executable.close()


def read_pixels(pipeline: PythonExecutable, rows: Any) -> ExecuteResult:
    return pipeline.execute([Tensor.from_array("pixels", np.asarray(rows, np.float32))], {})


def read_png(pipeline: PythonExecutable, *pngs: bytes) -> ExecuteResult:
    array = np.empty(len(pngs), object)
    array[:] = pngs
    return pipeline.execute([Tensor("png", DType.BYTES, array)], {})


def png(image: Image.Image) -> bytes:
    with io.BytesIO() as file:
        image.save(file, "PNG")
        return file.getvalue()


def reasons(result: ExecuteResult) -> dict[int, str]:
    return {row: refusal.reason for row, refusal in result.invalid.items()}


def committed_png(name: str) -> bytes:
    return (EXAMPLES / "digits" / f"{name}.png").read_bytes()


def test_signature(pipeline: PythonExecutable) -> None:
    signature = pipeline.signature
    assert [(s.name, s.dtype, s.shape, s.optional) for s in signature.inputs] == [
        ("pixels", DType.FP32, (-1, 64), True),
        ("png", DType.BYTES, (-1,), True),
    ]
    assert [(s.name, s.dtype, s.shape) for s in signature.outputs] == [
        ("digit", DType.INT64, (-1,)),
        ("confidence", DType.FP64, (-1,)),
    ]
    assert signature.batched
    assert not pipeline.inline_safe


def test_pixels_are_asked_about_in_one_call(pipeline: PythonExecutable, digits: FakeDigits) -> None:
    pixels, _ = held_out()
    digit, confidence = read_pixels(pipeline, pixels[:3]).outputs
    assert digit.array.tolist() == [4, 4, 4]
    assert confidence.array == pytest.approx([0.9] * 3)
    assert len(digits.asked) == 1
    assert digits.asked[0].dtype == np.float32
    np.testing.assert_array_equal(digits.asked[0], pixels[:3])


@pytest.mark.parametrize("digit", [3, 5, 8])
def test_png_becomes_the_pixels_it_was_made_of(
    pipeline: PythonExecutable, digits: FakeDigits, digit: int
) -> None:
    pixels, truth = held_out()
    assert not read_png(pipeline, committed_png(f"digit-{digit}")).invalid
    np.testing.assert_allclose(digits.asked[0][0], pixels[truth == digit][0], atol=0.05)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read(
    pipeline: PythonExecutable, digits: FakeDigits, mode: str
) -> None:
    half = np.zeros((16, 16), np.uint8)
    half[:, 8:] = 255
    image = Image.fromarray(half)
    image = Image.fromarray(half.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    assert not read_png(pipeline, png(image)).invalid
    expected = np.repeat([[0.0] * 4 + [16.0] * 4], 8, axis=0).reshape(64)
    np.testing.assert_allclose(digits.asked[0][0], expected, atol=0.01)


def test_transparent_ground_is_dark(pipeline: PythonExecutable, digits: FakeDigits) -> None:
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    image.putpixel((0, 0), (255, 255, 255, 255))
    assert not read_png(pipeline, png(image)).invalid
    assert digits.asked[0][0].tolist() == [16.0] + [0.0] * 63


def test_bad_rows_are_refused_alone(pipeline: PythonExecutable, digits: FakeDigits) -> None:
    rows, _ = held_out()
    rows = rows[:5].copy()
    rows[0] = 7
    rows[1, 3] = np.nan
    rows[2, 0] = 17
    rows[4, 0] = -1
    result = read_pixels(pipeline, rows)
    assert reasons(result) == {
        0: "the image is blank: no digit to read",
        1: "pixels must be numbers, got NaN or infinity",
        2: "pixels go from 0 (paper) to 16 (ink), got 0 to 17",
        4: f"pixels go from 0 (paper) to 16 (ink), got -1 to {rows[4].max():g}",
    }
    assert result.outputs[0].array.tolist() == [4]
    np.testing.assert_array_equal(digits.asked[0], rows[3:4])


def test_both_or_neither_is_refused(pipeline: PythonExecutable) -> None:
    pixels = Tensor.from_array("pixels", held_out()[0][:1])
    picture = Tensor("png", DType.BYTES, np.array([committed_png("digit-3")], object))
    result = pipeline.execute([pixels, picture], {})
    assert reasons(result) == {0: "send either pixels or png, and not both"}


def test_unsure_answer_is_refused_with_the_best_guess(
    pipeline: PythonExecutable, digits: FakeDigits
) -> None:
    digits.confidence = 0.31
    result = read_pixels(pipeline, held_out()[0][:2])
    text = "no digit recognised with confidence: best guess 4 at 0.31"
    assert reasons(result) == {0: text, 1: text}


def test_blank_picture(pipeline: PythonExecutable, digits: FakeDigits) -> None:
    result = read_png(pipeline, committed_png("blank"))
    assert reasons(result) == {0: "the image is blank: no digit to read"}
    assert not digits.asked


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(30), b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_png(pipeline: PythonExecutable, content: bytes) -> None:
    assert reasons(read_png(pipeline, content)) == {0: "the image is no PNG"}


@pytest.mark.parametrize("size", [(4, 4), (8, 16), (1025, 1025)])
def test_wrong_sizes(pipeline: PythonExecutable, size: tuple[int, int]) -> None:
    (reason,) = reasons(read_png(pipeline, png(Image.new("L", size)))).values()
    assert reason == (
        f"the image should be square, 8 to 1024 pixels wide; it is {size[0]} x {size[1]}"
    )


def test_bomb_is_refused_by_its_header(pipeline: PythonExecutable) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    bomb += struct.pack(">I", zlib.crc32(header))
    (reason,) = reasons(read_png(pipeline, bomb)).values()
    assert "it is 100000 x 100000" in reason


def test_damaged_pictures_are_refused_and_never_fail(pipeline: PythonExecutable) -> None:
    good = committed_png("digit-3")
    random = np.random.default_rng(0)
    damaged = [good[:length] for length in range(0, len(good), 7)]
    for _ in range(300):
        content = bytearray(good)
        for position in random.integers(0, len(good), 3):
            content[position] = random.integers(0, 256)
        damaged.append(bytes(content))
    result = read_png(pipeline, *damaged)
    assert "the image is damaged: it cannot be decoded" in reasons(result).values()


def test_missing_pillow_says_what_to_install(
    pipeline: PythonExecutable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'penstock\[image\]'"):
        read_png(pipeline, committed_png("digit-3"))


def test_warm_up_example_does_not_ask_the_other_model(
    pipeline: PythonExecutable, digits: FakeDigits
) -> None:
    path = MODELS / "digits-pipeline" / "warmup.json"
    (tensor,) = json.loads(path.read_text())["inputs"]
    result = read_pixels(pipeline, np.reshape(tensor["data"], tensor["shape"]))
    assert reasons(result) == {0: "the image is blank: no digit to read"}
    assert not digits.asked
