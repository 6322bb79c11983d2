"""TorchModel: a loaded transformers model, called without gradients on its own device."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch


class TorchModel:
    """Weights in memory.

    Attributes:
        config: the model's own configuration.
    """

    def __init__(self, model: Any, *, threads: int) -> None:
        """Take a model in evaluation mode; ``threads``: 0 leaves PyTorch its own choice."""
        self.config = model.config
        self._model = model
        self._threads = threads
        parameters = inspect.signature(model.forward).parameters
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._names = frozenset(parameters)

    def __call__(self, tensors: Mapping[str, Any]) -> Any:
        """Run the model; what it does not take is left out. Concurrency: one thread at a time."""
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # holds for the calling thread
        with torch.inference_mode():
            return self._model(**{name: self._moved(tensors[name]) for name in self._fit(tensors)})

    @property
    def num_embeddings(self) -> int:
        """Tokens it knows."""
        return int(self._model.get_input_embeddings().num_embeddings)

    def position_limit(self) -> int | None:
        """Tokens it has positions for; None: it does not say.

        RoBERTa and its kin count positions from behind the padding token's.
        """
        for name, module in self._model.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
                padding = module.padding_idx
                return int(module.num_embeddings) - (0 if padding is None else int(padding) + 1)
        limit = getattr(self.config, "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def _fit(self, tensors: Mapping[str, Any]) -> list[str]:
        return [name for name in tensors if name in self._names or self._takes_all]

    def _moved(self, tensor: Any) -> Any:
        is_float = tensor.is_floating_point()
        return tensor.to(self._model.device, dtype=self._model.dtype if is_float else None)
