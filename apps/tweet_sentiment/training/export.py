"""From trained weights to ONNX: plain, then with the layers' parts fused.

``to_bert`` puts the weights into the library's BERT, whose exported graph ONNX Runtime's
transformer optimiser knows; the fused graph has one node per attention, norm and activation.
"""

from __future__ import annotations

from pathlib import Path

import torch
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from apps.tweet_sentiment.training.encoder import (
    HEADS,
    INNER,
    LAYERS,
    MAX_TOKENS,
    WIDTH,
    TweetEncoder,
)


class Exported(nn.Module):
    """The network as it is exported: token ids and their mask to three probabilities."""

    def __init__(self, bert: BertModel, head: nn.Linear) -> None:
        super().__init__()
        self.bert = bert
        self.head = head

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits FP32 [batch, 3] of INT64 [batch, tokens] ids and mask (1: a token)."""
        x = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(x.dtype)
        mean = (x * weight).sum(1) / weight.sum(1)
        return self.head(torch.cat([x[:, 0], mean], 1))


def to_bert(model: TweetEncoder) -> Exported:
    """Return the same function with the library's BERT inside; ready to evaluate."""
    config = BertConfig(
        vocab_size=model.words.num_embeddings,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=MAX_TOKENS,
        attn_implementation="eager",
    )
    bert = BertModel(config, add_pooling_layer=False)
    old = model.state_dict()
    new = {
        "embeddings.word_embeddings.weight": old["words.weight"],
        "embeddings.position_embeddings.weight": old["positions.weight"],
        "embeddings.token_type_embeddings.weight": torch.zeros(2, WIDTH),
        "embeddings.LayerNorm.weight": old["words_norm.weight"],
        "embeddings.LayerNorm.bias": old["words_norm.bias"],
    }
    names = {
        "mix": "attention.output.dense",
        "mix_norm": "attention.output.LayerNorm",
        "widen": "intermediate.dense",
        "narrow": "output.dense",
        "norm": "output.LayerNorm",
    }
    for number in range(LAYERS):
        source, target = f"layers.{number}.", f"encoder.layer.{number}."
        for kind in ("weight", "bias"):
            for ours, theirs in names.items():
                new[f"{target}{theirs}.{kind}"] = old[f"{source}{ours}.{kind}"]
            joint = old[f"{source}query_key_value.{kind}"].chunk(3)
            for part, weight in zip(("query", "key", "value"), joint, strict=True):
                new[f"{target}attention.self.{part}.{kind}"] = weight
    missing, unknown = bert.load_state_dict(new, strict=False)
    if unknown or any("position_ids" not in name for name in missing):
        raise ValueError(f"weights do not fit BERT: missing {missing}, unknown {unknown}")
    return Exported(bert, model.head).eval()


def export_plain(model: TweetEncoder, path: Path) -> None:
    """Write the network as ONNX with free batch and token axes, nothing fused."""
    ids = torch.randint(5, 100, (2, 8))
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        to_bert(model),
        (ids, torch.ones_like(ids)),
        str(path),
        input_names=["ids", "mask"],
        output_names=["logits"],
        dynamic_axes={"ids": axes, "mask": axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def export_fused(plain: Path, path: Path, *, apart: bool = False) -> dict[str, int]:
    """Write ``plain`` with fused attention, norms and activations; returns how many of each.

    Args:
        plain: what ``export_plain`` wrote.
        path: where to write.
        apart: leave the three matrices in front of attention outside of it, where
            quantisation finds them, and sums outside of norms: ONNX Runtime's joint node takes
            several times as long on a CPU.
    """
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False
    options.use_multi_head_attention = apart
    options.enable_skip_layer_norm = not apart
    options.enable_bias_skip_layer_norm = not apart
    fused = optimize_model(
        str(plain),
        model_type="bert",
        num_heads=HEADS,
        hidden_size=WIDTH,
        optimization_options=options,
        opt_level=0,
    )
    fused.save_model_to_file(str(path))
    return {name: n for name, n in fused.get_fused_operator_statistics().items() if n}
