"""Text classification: a label and the classes' scores for each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import transformers

from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface.class_scores import ClassScores
from penstock.runtime.huggingface.options import Name, TextOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.text_encoder import TEXT, TRUNCATED, TextEncoder
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.read_options import read_options


class TextClassificationOptions(TextOptions, frozen=True):
    """``runtime_options`` of a text classifier.

    Attributes:
        labels: the classes' names, in the order of the model's outputs; empty: as in its config.
    """

    labels: tuple[Name, ...] = ()


class TextClassifier:
    """One text classifier with its tokenizer."""

    inline_safe = False  # its time grows with the text: the warm-up's says little

    def __init__(self, model: TorchModel, encoder: TextEncoder, classes: ClassScores) -> None:
        self.signature = ModelSignature((TEXT,), (*classes.specs, TRUNCATED))
        self._model = model
        self._encoder = encoder
        self._classes = classes

    @classmethod
    def load(cls, pretrained: Pretrained) -> TextClassifier:
        """Bring one into memory; see ``Runtime.load``."""
        options = read_options(pretrained.artifact, TextClassificationOptions)
        classes = ClassScores.of(pretrained, options.labels)
        model = pretrained.load_model(transformers.AutoModelForSequenceClassification, options)
        return cls(model, TextEncoder.load(pretrained, model, options), classes)

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Classify each text; see ``Executable.execute``."""
        del parameters  # a classifier has none
        read = self._encoder.read(inputs[0])
        scores = self._classes.empty(len(read.texts))
        for rows, tensors in self._encoder.runs(read.encoded):
            scores[rows] = self._classes.of_logits(self._model(tensors).logits)
        return ExecuteResult((*self._classes.outputs(scores), read.truncated), read.invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._encoder
