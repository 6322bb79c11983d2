"""Image classification: a label and the classes' scores for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface.class_scores import ClassScores
from penstock.runtime.huggingface.image_reader import ImageReader
from penstock.runtime.huggingface.options import Name, TaskOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.read_options import read_options

_IMAGE = TensorSpec(
    "image", DType.BYTES, (-1,), optional=True, description="a JPEG, PNG, WebP ... file"
)


class ImageClassificationOptions(TaskOptions, frozen=True):
    """``runtime_options`` of an image classifier.

    Attributes:
        labels: the classes' names, in the order of the model's outputs; empty: as in its config.
    """

    labels: tuple[Name, ...] = ()


class ImageClassifier:
    """One image classifier with what prepares its pictures."""

    inline_safe = False  # its time grows with the picture: the warm-up's says little

    def __init__(self, model: TorchModel, reader: ImageReader, classes: ClassScores) -> None:
        pixels = TensorSpec(
            "pixel_values",
            DType.FP32,
            (-1, *reader.shape),
            optional=True,
            description="what the model itself takes, instead of an image",
        )
        self.signature = ModelSignature((_IMAGE, pixels), classes.specs)
        self._model = model
        self._reader = reader
        self._classes = classes

    @classmethod
    def load(cls, pretrained: Pretrained) -> ImageClassifier:
        """Bring one into memory and run it once; see ``Runtime.load``."""
        options = read_options(pretrained.artifact, ImageClassificationOptions)
        classes = ClassScores.of(pretrained, options.labels)
        reader = ImageReader.load(pretrained)
        model = pretrained.load_model(transformers.AutoModelForImageClassification, options)
        try:
            model({"pixel_values": torch.zeros(1, *reader.shape)})
        except (RuntimeError, ValueError) as err:
            raise pretrained.failure(
                f"the model does not take the pictures that its preprocessor_config.json makes, "
                f"{list(reader.shape)}: {err}"
            ) from err
        return cls(model, reader, classes)

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Classify each picture; see ``Executable.execute``."""
        del parameters  # a classifier has none
        pixels, invalid = self._pixels({tensor.name: tensor for tensor in inputs})
        if not len(pixels):
            return ExecuteResult((), invalid)
        logits = self._model({"pixel_values": pixels}).logits
        return ExecuteResult(self._classes.outputs(self._classes.of_logits(logits)), invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._reader

    def _pixels(self, inputs: Mapping[str, Tensor]) -> tuple[Any, dict[int, InvalidInput]]:
        """Pictures ``[valid rows, channels, height, width]``."""
        if len(inputs) > 1:
            raise InvalidInput(0, "expected one of the inputs 'image' and 'pixel_values', got both")
        if "pixel_values" in inputs:
            return torch.tensor(inputs["pixel_values"].array), {}
        return self._reader.read(inputs["image"])
