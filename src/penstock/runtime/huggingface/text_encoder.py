"""TextEncoder: texts to tokens, cut to what a model can take, and grouped by length to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import transformers

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.runtime.huggingface.options import TextOptions
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.length_groups import group_by_length
from penstock.runtime.read_options import wrong_option
from penstock.runtime.text_input import read_texts

TEXT = TensorSpec("text", DType.BYTES, (-1,), description="UTF-8")
TRUNCATED = TensorSpec(
    "truncated", DType.BOOL, (-1,), description="whether the text's end was not read"
)
_DEFAULT_MAX_LENGTH = 512
_MAX_ROWS_PER_RUN = 64


class EncodedTexts(NamedTuple):
    """Texts as tokens.

    Attributes:
        columns: what the tokenizer gives (``input_ids``, ``attention_mask`` ...), a list for each.
        is_cut: whether each text, or pair, has more tokens than are here.
    """

    columns: Mapping[str, list[list[Any]]]
    is_cut: list[bool]


class ReadTexts(NamedTuple):
    """The rows of one batch that can be answered.

    Attributes:
        texts: their texts.
        encoded: their tokens.
        invalid: the rows that are refused, and why.
    """

    texts: list[str]
    encoded: EncodedTexts
    invalid: dict[int, InvalidInput]

    @property
    def truncated(self) -> Tensor:
        """The output ``truncated`` of these rows."""
        return Tensor(TRUNCATED.name, TRUNCATED.dtype, np.array(self.encoded.is_cut, np.bool_))


class TextEncoder:
    """A tokenizer with its limit.

    Attributes:
        max_length: tokens of a text, or pair, that are read.
        refuses_long: whether a longer one is refused rather than cut.
    """

    def __init__(self, tokenizer: Any, *, max_length: int, refuses_long: bool) -> None:
        self.max_length = max_length
        self.refuses_long = refuses_long
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, pretrained: Pretrained, model: TorchModel, options: TextOptions) -> TextEncoder:
        """The tokenizer saved with a model.

        Raises:
            LoadFailed: there is none, it is of another model, or ``max_length`` is too large.
        """
        tokenizer = pretrained.load(transformers.AutoTokenizer)
        _check_tokenizer(pretrained, tokenizer, model)
        return cls(
            tokenizer,
            max_length=_max_length(pretrained, options, tokenizer, model),
            refuses_long=options.truncation == "refuse",
        )

    @property
    def has_offsets(self) -> bool:
        """Whether the tokenizer can tell where in the text a token is."""
        return bool(self._tokenizer.is_fast)

    def read(
        self, tensor: Tensor, *, change: Callable[[str], str] = str, offsets: bool = False
    ) -> ReadTexts:
        """Decode and encode a batch's texts; a row that cannot be is refused, the others go on.

        Args:
            tensor: BYTES ``[rows]``.
            change: what is done to each text before it is encoded.
            offsets: whether to ask for the columns ``offset_mapping``, where in the text each token
                is, and ``special_tokens_mask``.
        """
        texts, invalid = decode_texts(tensor)
        encoded = self.encode([change(text) for text in texts], offsets=offsets)
        if self.refuses_long and any(encoded.is_cut):
            rows = [row for row in range(tensor.shape[0]) if row not in invalid]
            long = [i for i, is_cut in enumerate(encoded.is_cut) if is_cut]
            invalid |= {rows[i]: self.too_long(rows[i]) for i in long}
            kept = [i for i in range(len(texts)) if not encoded.is_cut[i]]
            texts, encoded = [texts[i] for i in kept], _pick(encoded, kept)
        return ReadTexts(texts, encoded, invalid)

    def encode(
        self,
        texts: Sequence[str],
        seconds: Sequence[str] | None = None,
        *,
        offsets: bool = False,
    ) -> EncodedTexts:
        """Tokens of texts, or of pairs of texts, of which the first alone is cut; see ``read``."""
        if not texts:
            return EncodedTexts({"input_ids": []}, [])
        pair = None if seconds is None else list(seconds)
        columns = self._tokenizer(
            list(texts),
            pair,
            truncation=True if pair is None else "only_first",
            max_length=self.max_length,
            return_offsets_mapping=offsets,
            return_special_tokens_mask=offsets,
        )
        full = [i for i, ids in enumerate(columns["input_ids"]) if len(ids) >= self.max_length]
        is_cut = [False] * len(texts)
        for i in full:
            whole = self._tokenizer(texts[i], None if pair is None else pair[i], verbose=False)
            is_cut[i] = len(whole["input_ids"]) > self.max_length
        return EncodedTexts(dict(columns), is_cut)

    def num_tokens(self, text: str) -> int:
        """Tokens of one text, special ones of a pair included."""
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        plain = self._tokenizer(text, add_special_tokens=False, verbose=False)
        return len(plain["input_ids"]) + int(special)

    def runs(self, encoded: EncodedTexts) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """The sub-batches to run: rows of similar length, and their padded tensors."""
        ids = encoded.columns["input_ids"]
        names = [n for n in self._tokenizer.model_input_names if n in encoded.columns]
        for rows in group_by_length([len(row) for row in ids], max_rows=_MAX_ROWS_PER_RUN):
            part = {name: [encoded.columns[name][row] for row in rows] for name in names}
            yield rows, dict(self._tokenizer.pad(part, return_tensors="pt"))

    def too_long(self, row: int) -> InvalidInput:
        """The refusal of a text that is longer than what is read."""
        return InvalidInput(
            row,
            f"input 'text': longer than {self.max_length} tokens, which is what the model reads "
            "(runtime_options.truncation is refuse)",
        )


def decode_texts(tensor: Tensor) -> tuple[list[str], dict[int, InvalidInput]]:
    """The rows that are UTF-8, and those that are not."""
    read = read_texts(tensor.name, tensor.array.tolist())
    invalid = {row: one for row, one in enumerate(read) if isinstance(one, InvalidInput)}
    return [one for one in read if isinstance(one, str)], invalid


def to_numpy(tensor: Any) -> Array:
    """A PyTorch tensor as FP32 on the CPU."""
    array: Array = tensor.float().cpu().numpy()
    return array


def _pick(encoded: EncodedTexts, kept: Sequence[int]) -> EncodedTexts:
    columns = {name: [values[i] for i in kept] for name, values in encoded.columns.items()}
    return EncodedTexts(columns, [encoded.is_cut[i] for i in kept])


def _check_tokenizer(pretrained: Pretrained, tokenizer: Any, model: TorchModel) -> None:
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        # transformers makes an empty one where no file of a tokenizer is found
        raise pretrained.failure(
            "there is no tokenizer with the model: save it to the same place, "
            "tokenizer.save_pretrained('OUT')"
        )
    if len(tokenizer) > model.num_embeddings:
        raise pretrained.failure(
            f"the tokenizer has {len(tokenizer)} tokens, the model knows {model.num_embeddings}: "
            "they are not of one model"
        )
    if tokenizer.pad_token_id is None:
        raise pretrained.failure(
            "the tokenizer has no padding token, which a batch needs: "
            "set tokenizer.pad_token and save it again"
        )


def _max_length(
    pretrained: Pretrained, options: TextOptions, tokenizer: Any, model: TorchModel
) -> int:
    """Tokens of a text that are read."""
    limit = model.position_limit()
    if options.max_length is None:
        return min(int(tokenizer.model_max_length), limit or _DEFAULT_MAX_LENGTH)
    if limit and options.max_length > limit:
        raise wrong_option(
            pretrained.artifact,
            "max_length",
            f"expected at most {limit} tokens, which is what the model can take, "
            f"got {options.max_length}",
        )
    return options.max_length
