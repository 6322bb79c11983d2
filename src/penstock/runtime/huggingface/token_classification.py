"""Token classification: the entities of each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import transformers

from penstock.core.dtype import DType
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface.class_scores import class_labels
from penstock.runtime.huggingface.entities import Entity, LabelledToken, each_token, join_tokens
from penstock.runtime.huggingface.options import Name, TextOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.text_encoder import (
    TEXT,
    TRUNCATED,
    ReadTexts,
    TextEncoder,
    to_numpy,
)
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.read_options import read_options

_ENTITIES = TensorSpec(
    "entities",
    DType.BYTES,
    (-1,),
    description="a JSON list of {text, label, score, start, end} for each text",
)


class TokenClassificationOptions(TextOptions, frozen=True):
    """``runtime_options`` of a token classifier.

    Attributes:
        labels: the classes' names, in the order of the model's outputs; empty: as in its config.
        aggregation: ``simple``: neighbouring tokens of one label are one entity; ``none``: each
            token is one.
        ignore_labels: labels that are no entities.
    """

    labels: tuple[Name, ...] = ()
    aggregation: Literal["simple", "none"] = "simple"
    ignore_labels: tuple[str, ...] = ("O",)


class TokenClassifier:
    """One token classifier with its tokenizer."""

    inline_safe = False  # its time grows with the text: the warm-up's says little

    def __init__(
        self,
        model: TorchModel,
        encoder: TextEncoder,
        labels: Sequence[str],
        options: TokenClassificationOptions,
    ) -> None:
        self.signature = ModelSignature((TEXT,), (_ENTITIES, TRUNCATED))
        self._model = model
        self._encoder = encoder
        self._labels = labels
        self._join = join_tokens if options.aggregation == "simple" else each_token
        self._ignored = options.ignore_labels

    @classmethod
    def load(cls, pretrained: Pretrained) -> TokenClassifier:
        """Bring one into memory; see ``Runtime.load``."""
        options = read_options(pretrained.artifact, TokenClassificationOptions)
        labels = class_labels(pretrained, options.labels)
        model = pretrained.load_model(transformers.AutoModelForTokenClassification, options)
        encoder = TextEncoder.load(pretrained, model, options)
        if not encoder.has_offsets:
            raise pretrained.failure(
                "its tokenizer cannot tell where in the text a token is: save it as a fast one, "
                "which has a tokenizer.json"
            )
        return cls(model, encoder, labels, options)

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Find each text's entities; see ``Executable.execute``."""
        del parameters  # a classifier has none
        read = self._encoder.read(inputs[0], offsets=True)
        found: list[bytes] = [b""] * len(read.texts)
        for rows, tensors in self._encoder.runs(read.encoded):
            scores = to_numpy(self._model(tensors).logits.float().softmax(dim=-1))
            mask = tensors["attention_mask"].numpy().astype(bool)
            for row, row_scores, row_mask in zip(rows, scores, mask, strict=True):
                found[row] = msgspec.json.encode(self._entities(read, row, row_scores[row_mask]))
        entities = Tensor(_ENTITIES.name, _ENTITIES.dtype, object_array(found))
        return ExecuteResult((entities, read.truncated), read.invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._encoder

    def _entities(self, read: ReadTexts, row: int, scores: Array) -> list[Entity]:
        columns = read.encoded.columns
        best = scores.argmax(axis=-1).tolist()
        places = zip(
            columns["offset_mapping"][row], columns["special_tokens_mask"][row], strict=True
        )
        tokens = [
            LabelledToken(self._labels[best[i]], float(scores[i, best[i]]), start, end)
            for i, ((start, end), is_special) in enumerate(places)
            if not is_special
        ]
        return self._join(read.texts[row], tokens, self._ignored)
