"""The ``huggingface`` runtime: text classifiers of the transformers library, on PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import huggingface_hub.utils
import msgspec
import numpy as np
import torch
import transformers
from msgspec import Meta

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, LoadFailed
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.huggingface_source import ModelSource, explain, find_source
from penstock.runtime.length_groups import group_by_length

_SERVED = "ForSequenceClassification"
_DEFAULT_MAX_LENGTH = 512


class HuggingFaceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of a Hugging Face model.

    Attributes:
        labels: the classes' names, in the order of the model's outputs; empty: as in its config.
        max_length: tokens of a text that are read, special ones included; the rest is cut off.
            None: as many as the model can take.
    """

    labels: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    max_length: Annotated[int, Meta(ge=4)] | None = None


class HuggingFaceRuntime:
    """Loads saved transformers models and names on a model hub."""

    platform = "pytorch_transformers"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> HuggingFaceExecutable:
        """Load tokenizer and weights, from the hub where one is named; see ``Runtime.load``."""
        del client  # a classifier calls nobody
        options = _options(artifact)
        device = _device(artifact)
        source = find_source(artifact)
        _quieten()
        config = _load(artifact, source, transformers.AutoConfig)
        _check_task(artifact, config)
        labels = _labels(artifact, options, config)
        tokenizer = _load(artifact, source, transformers.AutoTokenizer)
        model = _load_weights(artifact, source, config)
        _check_tokenizer(artifact, tokenizer, model)
        return HuggingFaceExecutable(
            model.eval().to(device),
            tokenizer,
            labels,
            max_length=_max_length(artifact, options, tokenizer, model),
            threads=artifact.manifest.instances.threads_per_instance,
        )


class HuggingFaceExecutable:
    """One text classifier with its tokenizer."""

    inline_safe = False  # its time grows with the text: the warm-up's says little

    def __init__(
        self, model: Any, tokenizer: Any, labels: Sequence[str], *, max_length: int, threads: int
    ) -> None:
        self.signature = ModelSignature(
            (TensorSpec("text", DType.BYTES, (-1,)),),
            (
                TensorSpec("label", DType.BYTES, (-1,)),
                TensorSpec("scores", DType.FP32, (-1, len(labels)), labels=tuple(labels)),
            ),
        )
        self._model = model
        self._tokenizer = tokenizer
        self._labels = [label.encode() for label in labels]
        self._max_length = max_length
        self._threads = threads
        is_multi_label = model.config.problem_type == "multi_label_classification"
        self._is_independent = is_multi_label or len(labels) == 1

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Classify each text; see ``Executable.execute``."""
        del parameters  # a classifier has none
        texts, invalid = _decode(inputs[0])
        scores = self._scores(texts)
        labels = object_array([self._labels[i] for i in scores.argmax(axis=1).tolist()])
        outputs = (Tensor("label", DType.BYTES, labels), Tensor("scores", DType.FP32, scores))
        return ExecuteResult(outputs, invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._model, self._tokenizer

    def _scores(self, texts: list[str]) -> Array:
        """Scores ``[len(texts), n_labels]``, FP32; texts of similar length run together."""
        scores = np.empty((len(texts), len(self._labels)), np.float32)
        if not texts:
            return scores
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # holds for the calling thread
        encoded = self._tokenizer(texts, truncation=True, max_length=self._max_length)
        with torch.inference_mode():
            for rows in group_by_length([len(ids) for ids in encoded["input_ids"]]):
                part = {name: [values[row] for row in rows] for name, values in encoded.items()}
                padded = self._tokenizer.pad(part, return_tensors="pt").to(self._model.device)
                logits = self._model(**padded).logits.float()
                result = logits.sigmoid() if self._is_independent else logits.softmax(dim=-1)
                scores[rows] = result.cpu().numpy()
        return scores


def _decode(tensor: Tensor) -> tuple[list[str], dict[int, InvalidInput]]:
    texts: list[str] = []
    invalid: dict[int, InvalidInput] = {}
    for row, item in enumerate(tensor.array.tolist()):
        try:
            texts.append(item.decode())
        except UnicodeDecodeError:
            invalid[row] = InvalidInput(
                row, f"input '{tensor.name}': expected UTF-8 text, got other bytes"
            )
    return texts, invalid


def _options(artifact: ArtifactRef) -> HuggingFaceOptions:
    try:
        return msgspec.convert(artifact.manifest.runtime_options, HuggingFaceOptions)
    except msgspec.ValidationError as err:
        raise _wrong_option(artifact, str(err)) from err


def _wrong_option(artifact: ArtifactRef, text: str) -> LoadFailed:
    return LoadFailed(f"{artifact.id}: runtime_options of 'huggingface': {text}")


def _device(artifact: ArtifactRef) -> torch.device:
    name = artifact.manifest.instances.device
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind != "cuda" or int(index or 0) >= count:
        raise LoadFailed(
            f"{artifact.id}: device '{name}' was asked for, but this PyTorch sees {count} GPUs; "
            "say instances.device: cpu, or install a PyTorch built for CUDA where there is a GPU"
        )
    return torch.device(name)


def _quieten() -> None:
    """No progress bars, no advice on standard error, no conversion; the process's own settings.

    Where a hub model has pickle weights only, transformers would ask a service on the web to
    convert them, and send it the user's token for a private one: a server must not.
    """
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    huggingface_hub.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.disable_progress_bars()


def _load(artifact: ArtifactRef, source: ModelSource, kind: Any, **options: Any) -> Any:
    try:
        return kind.from_pretrained(
            source.location,
            revision=source.revision or "main",
            trust_remote_code=False,
            local_files_only=not source.is_hub,
            **options,
        )
    except Exception as err:
        raise explain(artifact, source, err) from err


def _load_weights(artifact: ArtifactRef, source: ModelSource, config: Any) -> Any:
    model, info = _load(
        artifact,
        source,
        transformers.AutoModelForSequenceClassification,
        config=config,
        dtype=torch.float32,
        output_loading_info=True,
    )
    if info["missing_keys"]:
        raise LoadFailed(
            f"{artifact.id}: the weights lack {sorted(info['missing_keys'])[:4]}, which would "
            "be random: save the trained classifier, not the model it was made from"
        )
    return model


def _check_task(artifact: ArtifactRef, config: Any) -> None:
    architectures = config.architectures or []
    if not any(name.endswith(_SERVED) for name in architectures):
        raise LoadFailed(
            f"{artifact.id}: the model is a {architectures or 'model of unnamed architecture'}; "
            f"today sequence classifiers are served, whose architecture ends in {_SERVED}"
        )
    if config.problem_type == "regression":
        raise LoadFailed(
            f"{artifact.id}: the model's problem_type is regression; today classifiers are served"
        )


def _labels(artifact: ArtifactRef, options: HuggingFaceOptions, config: Any) -> Sequence[str]:
    if options.labels and len(options.labels) != config.num_labels:
        raise _wrong_option(
            artifact,
            f"Expected {config.num_labels} labels, one for each class of the model, "
            f"got {len(options.labels)} - at `$.labels`",
        )
    return options.labels or [str(config.id2label[i]) for i in range(config.num_labels)]


def _check_tokenizer(artifact: ArtifactRef, tokenizer: Any, model: Any) -> None:
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        # transformers makes an empty one where no file of a tokenizer is found
        raise LoadFailed(
            f"{artifact.id}: there is no tokenizer with the model: save it to the same place, "
            "tokenizer.save_pretrained('OUT')"
        )
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise LoadFailed(
            f"{artifact.id}: the tokenizer has {len(tokenizer)} tokens, the model knows {known}: "
            "they are not of one model"
        )
    if tokenizer.pad_token_id is None:
        raise LoadFailed(
            f"{artifact.id}: the tokenizer has no padding token, which a batch needs: "
            "set tokenizer.pad_token and save it again"
        )


def _max_length(
    artifact: ArtifactRef, options: HuggingFaceOptions, tokenizer: Any, model: Any
) -> int:
    """Tokens of a text that are read."""
    limit = _position_limit(model)
    if options.max_length is None:
        return min(int(tokenizer.model_max_length), limit or _DEFAULT_MAX_LENGTH)
    if limit and options.max_length > limit:
        raise _wrong_option(
            artifact,
            f"Expected at most {limit} tokens, which is what the model can take, "
            f"got {options.max_length} - at `$.max_length`",
        )
    return options.max_length


def _position_limit(model: Any) -> int | None:
    """Tokens the model has positions for; None: it does not say.

    RoBERTa and its kin count positions from behind the padding token's.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            padding = module.padding_idx
            return int(module.num_embeddings) - (0 if padding is None else int(padding) + 1)
    limit = getattr(model.config, "max_position_embeddings", None)
    return None if limit is None else int(limit)
