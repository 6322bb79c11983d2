"""The tokenizer: MiniLM's, cut to the pieces that tweets use."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from apps.tweet_sentiment.training.encoder import MAX_TOKENS, weights_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
JOINED = {"@user": ["@", "user"]}
"""Pieces of our own, and the pieces whose mean they start from."""


class Vocabulary(NamedTuple):
    """A tokenizer and where its pieces come from.

    Attributes:
        tokenizer: cuts at ``MAX_TOKENS``, pads nothing; id 0 is the padding.
        rows: for each id the rows of the original vocabulary it stands for.
    """

    tokenizer: Tokenizer
    rows: list[list[int]]


def original() -> Tokenizer:
    """Return MiniLM's own tokenizer, without padding."""
    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def prune(texts: list[str], size: int) -> Vocabulary:
    """Keep the special pieces, the single characters and what ``texts`` use most.

    Args:
        texts: normalised tweets, of the training data only.
        size: pieces to keep in all, at least a few hundred.
    """
    old = original()
    old.add_tokens(list(JOINED))
    counts: Counter[str] = Counter()
    for encoding in old.encode_batch(texts, add_special_tokens=False):
        counts.update(encoding.tokens)
    ids = original().get_vocab()
    single = [p for p in ids if len(p.removeprefix("##")) == 1 and p.isascii()]
    kept = list(dict.fromkeys([*SPECIAL, *JOINED, *sorted(single)]))
    frequent = [p for p, _ in counts.most_common() if p in ids and p not in set(kept)]
    kept += frequent[: size - len(kept)]
    spare = sorted((p for p in ids if p.isascii()), key=lambda p: ids[p])
    kept += [p for p in spare if p not in set(kept) and p[0] != "["][: size - len(kept)]
    rows = [[ids[q] for q in JOINED.get(p, [p])] for p in kept]
    return Vocabulary(_rebuilt(kept), rows)


def full() -> Vocabulary:
    """Return the whole vocabulary with our own pieces, to compare with."""
    ids = original().get_vocab()
    kept = (
        SPECIAL + list(JOINED) + [p for p in sorted(ids, key=ids.__getitem__) if p not in SPECIAL]
    )
    return Vocabulary(_rebuilt(kept), [[ids[q] for q in JOINED.get(p, [p])] for p in kept])


def _rebuilt(pieces: list[str]) -> Tokenizer:
    spec = json.loads((weights_folder() / "tokenizer.json").read_text("utf-8"))
    ids = {piece: number for number, piece in enumerate(pieces)}
    spec["model"]["vocab"] = ids
    spec["padding"] = None
    spec["truncation"]["max_length"] = MAX_TOKENS
    spec["truncation"]["direction"] = "Right"
    spec["added_tokens"] = [_added(p, ids[p], p in SPECIAL) for p in (*SPECIAL, *JOINED)]
    for name, token in spec["post_processor"]["special_tokens"].items():
        token["ids"] = [ids[name]]
    return Tokenizer.from_str(json.dumps(spec))


def _added(piece: str, number: int, special: bool) -> dict[str, object]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": piece, "special": special, **flags}


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Return the token ids of each text."""
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write the tokenizer as one small file that ``tokenizers`` alone reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False), "utf-8")


def load(path: Path) -> Tokenizer:
    """Return the tokenizer that ``save`` wrote."""
    return Tokenizer.from_file(str(path))
