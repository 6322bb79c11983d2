"""ImageReader: picture files to the pixels a model takes, as its preprocessor_config.json says."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import torch
import transformers

from penstock.core.errors import InvalidInput, LoadFailed
from penstock.core.tensor import Array, Tensor
from penstock.runtime.huggingface.pretrained import Pretrained

try:
    from PIL import Image, ImageOps, UnidentifiedImageError
except ModuleNotFoundError as err:
    raise LoadFailed(
        "image classification needs the package 'PIL': pip install 'penstock[huggingface,image]'"
    ) from err

_CONFIG = "preprocessor_config.json"
_MAX_PIXELS = 64 * 1024 * 1024
"""Of one picture, before it is made smaller: a small file can hold a picture beyond any memory."""


class ImageReader:
    """Decodes pictures and brings them to a model's size and range, without torchvision.

    Attributes:
        shape: channels, height and width of what it makes.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        blank = Image.fromarray(np.zeros((48, 64, 3), np.uint8))
        self.shape: tuple[int, ...] = self._prepare(blank).shape

    @classmethod
    def load(cls, pretrained: Pretrained) -> ImageReader:
        """As saved with the model.

        Raises:
            LoadFailed: there is no configuration, or of a kind that is not served.
        """
        config = pretrained.read_json(_CONFIG)
        if not isinstance(config, dict):
            raise pretrained.failure(f"there is no {_CONFIG} with the model: save it beside it")
        kind = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
        name = str(kind).removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
        processor = getattr(transformers, f"{name}Pil", None)
        if processor is None:
            raise pretrained.failure(
                f"{_CONFIG} asks for {kind or 'no kind of processor'!r}, which transformers does "
                "not have for Pillow: send what the model takes, or export it to ONNX"
            )
        return cls(pretrained.load(processor))

    def read(self, tensor: Tensor) -> tuple[Any, dict[int, InvalidInput]]:
        """Pixels ``[valid rows, channels, height, width]``, and the rows that are no pictures."""
        pixels: list[Array] = []
        invalid: dict[int, InvalidInput] = {}
        for row, item in enumerate(tensor.array.tolist()):
            try:
                pixels.append(self._prepare(_open(item)))
            except _UNREADABLE as err:
                text = f"input '{tensor.name}': expected a picture file, got {len(item)} bytes: "
                invalid[row] = InvalidInput(row, text + _reason(err))
        return torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0), invalid

    def _prepare(self, image: Any) -> Array:
        made: Array = self._processor(images=image, return_tensors="np")["pixel_values"][0]
        return made


_UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
)
"""What Pillow raises over bytes from outside; a broken PNG is a SyntaxError."""


def _open(item: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the limit below is stricter than Pillow's warning
        image = Image.open(io.BytesIO(item))
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError(
                f"{image.width} x {image.height} pixels, more than the limit of {_MAX_PIXELS}"
            )
        return ImageOps.exif_transpose(image).convert("RGB")


def _reason(err: Exception) -> str:
    if isinstance(err, UnidentifiedImageError):
        return "of no format that Pillow knows"
    return str(err).splitlines()[0] if str(err) else type(err).__name__
