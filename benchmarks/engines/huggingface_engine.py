"""Hugging Face: a small BERT that classifies texts, random weights, with its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from benchmarks.engines.engine import BATCH_ROWS, Engine

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [f"word{number}" for number in range(1000)]
SHORTEST, LONGEST = 9, 16  # words of a text: of one batch, what would be padded together anyway


def make(version: Path) -> Engine:
    """Save the model and its tokenizer; run both on a batch of texts with one thread."""
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=64,
        num_labels=3,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(version)
    _save_tokenizer(version)
    tokenizer = transformers.AutoTokenizer.from_pretrained(version)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(version).eval()
    random = np.random.default_rng(1)
    lengths = random.integers(SHORTEST, LONGEST + 1, BATCH_ROWS)
    texts = [" ".join(random.choice(WORDS, length)) for length in lengths]

    def run() -> object:
        torch.set_num_threads(1)
        tensors = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**tensors).logits.softmax(dim=-1).numpy()

    return Engine({"text": np.array([text.encode() for text in texts], dtype=object)}, run)


def _save_tokenizer(folder: Path) -> None:
    words = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"])
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
