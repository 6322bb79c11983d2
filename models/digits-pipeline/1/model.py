"""A handwritten digit from pixels or a picture, read by the model ``digits``."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from penstock import InvalidInput, Model, ModelContext, Rows

Pixels = Rows["FP32", 64]

MIN_CONFIDENCE = 0.5
"""Below it an item is refused rather than guessed."""
MIN_SIDE = 8
MAX_SIDE = 1024
"""Bounds of a picture's side, in pixels."""

_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR = struct.Struct(">8s4x4sII")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@dataclass
class Digit:
    """What to read: one of the two.

    Attributes:
        pixels: 8x8 pixels, row by row, 0 (paper) to 16 (ink).
        png: a square picture of a light digit on dark ground.
    """

    pixels: Pixels | None = None
    png: bytes | None = None


@dataclass
class Reading:
    """What was read.

    Attributes:
        digit: 0 to 9.
        confidence: its probability.
    """

    digit: int
    confidence: float


class DigitsPipeline(Model):
    """Checks the input, asks ``digits``, answers only when it is sure enough."""

    def load(self, context: ModelContext) -> None:
        """Keep the way to the other model."""
        self._client = context.client

    def preprocess(self, digits: list[Digit]) -> list[np.ndarray | InvalidInput]:
        """Turn each item into 64 pixels of 0..16; refuse the ones that hold no digit."""
        return [_checked(index, item) for index, item in enumerate(digits)]

    def predict(self, pixels: list[np.ndarray]) -> list[np.ndarray]:
        """Ask the newest version of ``digits`` about all items at once."""
        return list(self._client.infer("digits", pixels=np.stack(pixels))["probabilities"])

    def postprocess(self, probabilities: list[np.ndarray]) -> list[Reading]:
        """Take the likeliest digit; refuse an item where even that one is unlikely."""
        readings = [Reading(int(row.argmax()), float(row.max())) for row in probabilities]
        for index, reading in enumerate(readings):
            if reading.confidence < MIN_CONFIDENCE:
                raise InvalidInput(
                    index,
                    "no digit recognised with confidence: best guess "
                    f"{reading.digit} at {reading.confidence:.2f}",
                )
        return readings


def _checked(index: int, item: Digit) -> np.ndarray | InvalidInput:
    try:
        pixels = _pixels(item)
    except ValueError as err:
        return InvalidInput(index, str(err))
    if pixels.min() == pixels.max():
        return InvalidInput(index, "the image is blank: no digit to read")
    return pixels


def _pixels(item: Digit) -> np.ndarray:
    if (item.pixels is None) == (item.png is None):
        raise ValueError("send either pixels or png, and not both")
    if item.png is not None:
        return _read_png(item.png)
    if not np.isfinite(item.pixels).all():
        raise ValueError("pixels must be numbers, got NaN or infinity")
    low, high = item.pixels.min(), item.pixels.max()
    if low < 0 or high > 16:
        raise ValueError(f"pixels go from 0 (paper) to 16 (ink), got {low:g} to {high:g}")
    return item.pixels


def _read_png(png: bytes) -> np.ndarray:
    """Shrink a picture to 8x8 by the mean of each block.

    The size is read from the header, so a small file cannot make us unpack a huge picture.
    """
    if len(png) < _IHDR.size or not png.startswith(_PNG):
        raise ValueError("the image is no PNG")
    _, kind, width, height = _IHDR.unpack_from(png)
    if kind != b"IHDR":
        raise ValueError("the image is no PNG")
    if width != height or not MIN_SIDE <= width <= MAX_SIDE:
        raise ValueError(
            f"the image should be square, {MIN_SIDE} to {MAX_SIDE} pixels wide; "
            f"it is {width} x {height}"
        )
    return (_shrink(png) * (16 / 255)).astype(np.float32).reshape(64)


def _shrink(png: bytes) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as err:
        raise ImportError("reading a PNG needs Pillow: pip install 'penstock[image]'") from err
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.mode.startswith("I"):  # 16 bits per pixel
                grey = Image.fromarray(np.asarray(image, np.float32) / 257)
            else:
                colour = image.convert("RGBA")
                ground = Image.new("RGBA", colour.size, "black")
                grey = Image.alpha_composite(ground, colour).convert("L").convert("F")
            return np.asarray(grey.resize((8, 8), Image.Resampling.BOX))
    except _BROKEN as err:
        raise ValueError("the image is damaged: it cannot be decoded") from err
