"""Feature extraction: an embedding for each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
import transformers

from penstock.core.dtype import DType
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface.options import TextOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.sentence_transformers import (
    Pooling,
    SentenceConfig,
    read_sentence_config,
)
from penstock.runtime.huggingface.text_encoder import TEXT, TRUNCATED, TextEncoder, to_numpy
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.read_options import read_options

_UNUSED = ("pooler.",)  # made of the first token alone, for another task


class FeatureExtractionOptions(TextOptions, frozen=True):
    """``runtime_options`` of an embedding model; None: as its sentence-transformers files say.

    Attributes:
        pooling: how the tokens' vectors become one; without such files, ``mean``.
        normalize: whether it is brought to length 1; without such files, not.
        prompt: put before each text; without such files, nothing.
    """

    pooling: Pooling | None = None
    normalize: bool | None = None
    prompt: str | None = None


class FeatureExtractor:
    """One embedding model with its tokenizer."""

    inline_safe = False  # its time grows with the text: the warm-up's says little

    def __init__(self, model: TorchModel, encoder: TextEncoder, config: SentenceConfig) -> None:
        self._size = int(model.config.hidden_size)
        embedding = TensorSpec("embedding", DType.FP32, (-1, self._size))
        self.signature = ModelSignature((TEXT,), (embedding, TRUNCATED))
        self._model = model
        self._encoder = encoder
        self._config = config

    @classmethod
    def load(cls, pretrained: Pretrained) -> FeatureExtractor:
        """Bring one into memory; see ``Runtime.load``."""
        options = read_options(pretrained.artifact, FeatureExtractionOptions)
        config = _overlay(read_sentence_config(pretrained), options)
        options = msgspec.structs.replace(options, max_length=config.max_length)
        model = pretrained.load_model(transformers.AutoModel, options, unused=_UNUSED)
        return cls(model, TextEncoder.load(pretrained, model, options), config)

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Embed each text; see ``Executable.execute``."""
        del parameters  # an embedding has none
        read = self._encoder.read(inputs[0], change=self._prepare)
        embedding = np.empty((len(read.texts), self._size), np.float32)
        for rows, tensors in self._encoder.runs(read.encoded):
            hidden = self._model(tensors).last_hidden_state.float()
            mask = tensors["attention_mask"].to(hidden.device)
            embedding[rows] = to_numpy(self._pool(hidden, mask))
        return ExecuteResult(
            (Tensor("embedding", DType.FP32, embedding), read.truncated), read.invalid
        )

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._encoder

    def _prepare(self, text: str) -> str:
        text = self._config.prompt + text
        return text.lower() if self._config.lower_case else text

    def _pool(self, hidden: Any, mask: Any) -> Any:
        vector = pool(hidden, mask, self._config.pooling)
        return torch.nn.functional.normalize(vector, dim=-1) if self._config.normalize else vector


def pool(hidden: Any, mask: Any, pooling: Pooling) -> Any:
    """One vector for each text.

    Args:
        hidden: the tokens' vectors ``[texts, tokens, size]``.
        mask: 1 where a token is one, 0 where it is padding ``[texts, tokens]``.
        pooling: how.
    """
    texts = torch.arange(len(hidden), device=hidden.device)
    is_token = mask.unsqueeze(-1).bool()
    if pooling == "cls":
        return hidden[texts, mask.argmax(dim=1)]
    if pooling == "last":
        return hidden[texts, mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)]
    if pooling == "max":
        return hidden.masked_fill(~is_token, float("-inf")).amax(dim=1)
    return hidden.masked_fill(~is_token, 0).sum(dim=1) / is_token.sum(dim=1).clamp(min=1)


def _overlay(config: SentenceConfig, options: FeatureExtractionOptions) -> SentenceConfig:
    """The folder's word, with the manifest's over it."""
    said = {
        name: value
        for name in ("pooling", "normalize", "prompt", "max_length")
        if (value := getattr(options, name)) is not None
    }
    return msgspec.structs.replace(config, **said)
