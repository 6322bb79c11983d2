"""``runtime_options`` that several tasks of the ``huggingface`` runtime share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1)]


class TaskOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of every task.

    Attributes:
        task: what the model does; None: as its architecture says.
        precision: what the weights are held and computed in; answers are FP32 all the same.
        fallback_to_cpu: whether a GPU that is not there means the CPU, and a warning.
    """

    task: str | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    fallback_to_cpu: bool = False


class TextOptions(TaskOptions, frozen=True):
    """Options of every task that reads texts.

    Attributes:
        max_length: tokens of a text that are read, special ones included. None: as many as the
            model can take.
        truncation: ``cut``: what is beyond is not read, and the output ``truncated`` says so;
            ``refuse``: that row is refused.
    """

    max_length: Annotated[int, Meta(ge=4)] | None = None
    truncation: Literal["cut", "refuse"] = "cut"
