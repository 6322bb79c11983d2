"""SentenceConfig: what a sentence-transformers folder says of pooling, length and prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from penstock.runtime.huggingface.pretrained import Pretrained

Pooling: TypeAlias = Literal["mean", "cls", "max", "last"]

_POOLING_BY_FLAG: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_POOLING_BY_NAME: Mapping[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "lasttoken": "last",
}


class SentenceConfig(msgspec.Struct, frozen=True):
    """How embeddings are made of a model's hidden states.

    Attributes:
        pooling: how the tokens' vectors become one.
        normalize: whether it is brought to length 1.
        max_length: tokens that are read; None: it does not say.
        lower_case: whether texts are lowered first.
        prompt: put before each text.
    """

    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int | None = None
    lower_case: bool = False
    prompt: str = ""


def read_sentence_config(pretrained: Pretrained) -> SentenceConfig:
    """Read ``modules.json`` and what it names; the defaults where there is none.

    Raises:
        LoadFailed: it has a part that would change the answers and that is not served.
    """
    modules = pretrained.read_json("modules.json")
    if modules is None:
        return SentenceConfig()
    try:
        paths = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
        return _of_modules(pretrained, paths)
    except (KeyError, TypeError, AttributeError) as err:
        raise pretrained.failure(
            f"modules.json and the files it names are not as sentence-transformers writes them: "
            f"{type(err).__name__}: {err}"
        ) from err


def _of_modules(pretrained: Pretrained, paths: Mapping[str, str]) -> SentenceConfig:
    foreign = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
    if foreign or paths.get("Transformer") != "" or "Pooling" not in paths:
        raise pretrained.failure(
            f"modules.json names {dict(paths)}: served are a Transformer in the folder itself, a "
            "Pooling and a Normalize"
        )
    bert = pretrained.read_json("sentence_bert_config.json") or {}
    return SentenceConfig(
        pooling=_pooling(pretrained, paths["Pooling"]),
        normalize="Normalize" in paths,
        max_length=bert.get("max_seq_length"),
        lower_case=bool(bert.get("do_lower_case")),
        prompt=_prompt(pretrained),
    )


def _pooling(pretrained: Pretrained, path: str) -> Pooling:
    config: dict[str, Any] = pretrained.read_json(f"{path}/config.json") or {}
    named = [config["pooling_mode"]] if isinstance(config.get("pooling_mode"), str) else []
    flags = [name for name, is_on in config.items() if name.startswith("pooling_mode_") and is_on]
    modes = [_POOLING_BY_NAME.get(n) for n in named] or [_POOLING_BY_FLAG.get(f) for f in flags]
    if len(modes) != 1 or modes[0] is None or config.get("include_prompt") is False:
        raise pretrained.failure(
            f"{path}/config.json: expected one pooling of {sorted(_POOLING_BY_FLAG)} that "
            f"includes the prompt, got {config}"
        )
    return modes[0]


def _prompt(pretrained: Pretrained) -> str:
    config = pretrained.read_json("config_sentence_transformers.json") or {}
    name = config.get("default_prompt_name")
    return "" if name is None else str(config["prompts"][name])
