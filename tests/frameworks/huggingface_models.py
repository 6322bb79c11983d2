"""Small random transformers models, saved as their library saves them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.messages import Parameter
from penstock.core.tensor import Array, Tensor, object_array
from penstock.runtime.executable import Executable, ExecuteResult
from tests.contract.runtime_contract import NoClient, artifact

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from penstock.runtime.huggingface_runtime import HuggingFaceRuntime  # noqa: E402  # as above

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", "day", "night"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "initializer_range": 1.0,
    "pad_token_id": 1,
}
NAMES = ["negative", "neutral", "positive"]


def save_tokenizer(folder: Path, words: list[str] = WORDS, **options: Any) -> None:
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    special = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        **options,
    }
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(
        folder
    )


def save(
    folder: Path,
    kind: str = "Roberta",
    head: str = "ForSequenceClassification",
    labels: list[str] = NAMES,
    **config: Any,
) -> Path:
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(7)
    names = dict(enumerate(labels))
    made = getattr(transformers, f"{kind}Config")(
        id2label=names, label2id={name: i for i, name in names.items()}, **SIZES | config
    )
    getattr(transformers, kind + head)(made).save_pretrained(folder)
    save_tokenizer(folder)
    return folder / "config.json"


def change(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def load(path: Path, **manifest: Any) -> Executable:
    return HuggingFaceRuntime().load(artifact(path, "huggingface", **manifest), NoClient())


def texts(*items: str | bytes) -> Tensor:
    """The input ``text``."""
    encoded = [item.encode() if isinstance(item, str) else item for item in items]
    return Tensor("text", DType.BYTES, object_array(encoded))


def ask(
    executable: Executable,
    *items: str | bytes,
    parameters: Mapping[str, Parameter] | None = None,
    **further: Tensor,
) -> ExecuteResult:
    """What the model answers to these texts."""
    return executable.execute((texts(*items), *further.values()), parameters or {})


def output(result: ExecuteResult, name: str) -> Array:
    """The array of one output."""
    return next(tensor.array for tensor in result.outputs if tensor.name == name)


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    return caught.value.message


def pipeline(task: str, folder: Path, **options: Any) -> Any:
    """The library's own answer to the same task."""
    transformers.utils.logging.set_verbosity_error()
    return transformers.pipeline(task, model=str(folder), device="cpu", **options)
