"""Zero-shot classification: scores for labels that the request, not the training, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import transformers

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface.candidates import (
    SLOT,
    Question,
    check_count,
    combine_scores,
    row_labels,
)
from penstock.runtime.huggingface.class_scores import class_labels
from penstock.runtime.huggingface.options import Name, TextOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.text_encoder import (
    TEXT,
    TRUNCATED,
    EncodedTexts,
    TextEncoder,
    decode_texts,
    to_numpy,
)
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.read_options import read_options, wrong_option

_CANDIDATES = TensorSpec(
    "candidate_labels",
    DType.BYTES,
    (-1, -1),
    optional=True,
    description="labels for each text; without it, those of the parameter or of the manifest",
)
_OUTPUTS = (
    TensorSpec("label", DType.BYTES, (-1,), description="the label of the highest score"),
    TensorSpec("labels", DType.BYTES, (-1, -1), description="the labels asked about, as asked"),
    TensorSpec("scores", DType.FP32, (-1, -1), description="their scores, in that order"),
    TRUNCATED,
)


class ZeroShotOptions(TextOptions, frozen=True):
    """``runtime_options`` of a zero-shot classifier; a request's parameters win.

    Attributes:
        labels: the classes' names, in the order of the model's outputs; empty: as in its config.
        candidate_labels: labels for requests that bring none.
        hypothesis_template: the sentence that is held against the text, ``{}`` for the label.
        multi_label: whether each label is judged alone; else the scores of a text sum to 1.
    """

    labels: tuple[Name, ...] = ()
    candidate_labels: tuple[Name, ...] = ()
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False


class _Row(NamedTuple):
    """One text that can be answered, and where in the batch it is."""

    row: int
    text: str
    labels: tuple[str, ...]


class ZeroShotClassifier:
    """One model of natural language inference with its tokenizer."""

    inline_safe = False  # its time grows with the text: the warm-up's says little
    signature = ModelSignature((TEXT, _CANDIDATES), _OUTPUTS)

    def __init__(
        self, model: TorchModel, encoder: TextEncoder, labels: Sequence[str], question: Question
    ) -> None:
        """``labels``: names of the model's classes, one of which begins with "entail"."""
        self._model = model
        self._encoder = encoder
        self._num_classes = len(labels)
        names = [label.lower() for label in labels]
        self._entailment = next(i for i, n in enumerate(names) if n.startswith("entail"))
        contrary = [i for i, name in enumerate(names) if name.startswith("contradict")]
        self._contradiction = (contrary or [-1 if self._entailment == 0 else 0])[0]
        self._question = question

    @classmethod
    def load(cls, pretrained: Pretrained) -> ZeroShotClassifier:
        """Bring one into memory and run it once; see ``Runtime.load``."""
        options = read_options(pretrained.artifact, ZeroShotOptions)
        labels = class_labels(pretrained, options.labels)
        _check(pretrained, options, labels)
        model = pretrained.load_model(transformers.AutoModelForSequenceClassification, options)
        question = Question(
            options.candidate_labels, options.hypothesis_template, options.multi_label
        )
        made = cls(model, TextEncoder.load(pretrained, model, options), labels, question)
        made._logits(made._encode([_Row(0, "", ("",))], question))
        return made

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Score each text's labels; see ``Executable.execute``.

        Raises:
            InvalidArgument: a parameter is wrong.
        """
        question = self._question.with_parameters(parameters)
        rows, invalid = self._read({tensor.name: tensor for tensor in inputs}, question)
        encoded = self._encode(rows, question)
        if self._encoder.refuses_long and any(encoded.is_cut):
            rows = _without_long(rows, encoded, invalid, self._encoder)
            encoded = self._encode(rows, question)
        if not rows:
            return ExecuteResult((), invalid)
        logits = self._logits(encoded).reshape(len(rows), -1, self._num_classes)
        scores = combine_scores(
            logits,
            entailment=self._entailment,
            contradiction=self._contradiction,
            multi_label=question.multi_label,
        )
        return ExecuteResult(_outputs(rows, scores, _is_cut(rows, encoded)), invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._encoder

    def _read(
        self, inputs: Mapping[str, Tensor], question: Question
    ) -> tuple[list[_Row], dict[int, InvalidInput]]:
        texts, invalid = decode_texts(inputs["text"])
        valid = [row for row in range(inputs["text"].shape[0]) if row not in invalid]
        candidates = inputs.get("candidate_labels")
        rows = []
        for row, text in zip(valid, texts, strict=True):
            try:
                labels = question.labels if candidates is None else row_labels(candidates, row)
                check_count(row, labels)
                self._check_lengths(row, labels, question)
            except InvalidInput as err:
                invalid[row] = err
            else:
                rows.append(_Row(row, text, labels))
        return rows, invalid

    def _check_lengths(self, row: int, labels: Sequence[str], question: Question) -> None:
        limit = self._encoder.max_length
        for label in labels:
            if self._encoder.num_tokens(question.hypothesis(label)) >= limit:
                raise InvalidInput(
                    row,
                    f"the hypothesis of label {label[:40]!r} leaves no room for the text: the "
                    f"model reads {limit} tokens in all",
                )

    def _encode(self, rows: Sequence[_Row], question: Question) -> EncodedTexts:
        pairs = [(row.text, question.hypothesis(label)) for row in rows for label in row.labels]
        return self._encoder.encode([text for text, _ in pairs], [label for _, label in pairs])

    def _logits(self, encoded: EncodedTexts) -> Array:
        logits = np.empty((len(encoded.is_cut), self._num_classes), np.float32)
        for rows, tensors in self._encoder.runs(encoded):
            logits[rows] = to_numpy(self._model(tensors).logits)
        return logits


def _check(pretrained: Pretrained, options: ZeroShotOptions, labels: Sequence[str]) -> None:
    if not any(label.lower().startswith("entail") for label in labels):
        raise pretrained.failure(
            f"zero-shot classification needs a model of natural language inference, one of whose "
            f"classes is 'entailment'; this one's are {list(labels)}; if it is one, name them in "
            "runtime_options.labels"
        )
    if SLOT not in options.hypothesis_template:
        raise wrong_option(
            pretrained.artifact,
            "hypothesis_template",
            f"expected '{SLOT}' in the label's place, got {options.hypothesis_template!r}",
        )


def _is_cut(rows: Sequence[_Row], encoded: EncodedTexts) -> Array:
    """Whether each text was cut beside any of its labels, of which all have the same number."""
    cut = np.array(encoded.is_cut, np.bool_).reshape(len(rows), -1)
    return np.logical_or.reduce(cut, axis=1, keepdims=True)[:, 0]


def _without_long(
    rows: Sequence[_Row],
    encoded: EncodedTexts,
    invalid: dict[int, InvalidInput],
    encoder: TextEncoder,
) -> list[_Row]:
    """The rows that were not cut; the others become invalid."""
    kept = []
    for row, is_cut in zip(rows, _is_cut(rows, encoded).tolist(), strict=True):
        if is_cut:
            invalid[row.row] = encoder.too_long(row.row)
        else:
            kept.append(row)
    return kept


def _outputs(rows: Sequence[_Row], scores: Array, cut: Array) -> tuple[Tensor, ...]:
    labels = object_array([label.encode() for row in rows for label in row.labels])
    labels = labels.reshape(scores.shape)
    best = labels[np.arange(len(rows)), scores.argmax(axis=1)]
    return (
        Tensor("label", DType.BYTES, best),
        Tensor("labels", DType.BYTES, labels),
        Tensor("scores", DType.FP32, scores),
        Tensor(TRUNCATED.name, TRUNCATED.dtype, cut),
    )
