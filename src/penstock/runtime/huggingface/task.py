"""Task: what a saved transformers model is asked to do. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Task:
    """One task and where its code is.

    Attributes:
        module, class_name: imported when the first model asks for it; an instance is made of
            ``class_name.load(pretrained)``.
        endings: architectures that are of this task when the manifest names none; the first task
            of ``TASKS`` with a fitting ending has it.
    """

    module: str
    class_name: str
    endings: tuple[str, ...] = ()


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "text-classification": Task(
            "penstock.runtime.huggingface.text_classification",
            "TextClassifier",
            ("ForSequenceClassification",),
        ),
        "token-classification": Task(
            "penstock.runtime.huggingface.token_classification",
            "TokenClassifier",
            ("ForTokenClassification",),
        ),
        "zero-shot-classification": Task(
            "penstock.runtime.huggingface.zero_shot_classification", "ZeroShotClassifier"
        ),
        "image-classification": Task(
            "penstock.runtime.huggingface.image_classification",
            "ImageClassifier",
            ("ForImageClassification",),
        ),
        "feature-extraction": Task(
            "penstock.runtime.huggingface.feature_extraction", "FeatureExtractor", ("Model",)
        ),
    }
)
"""Every task by the name the transformers library and the hub use."""


def choose_task(architectures: Sequence[str], wanted: object = None) -> Task | str:
    """The task of a model.

    Args:
        architectures: the saved config's ``architectures``.
        wanted: the manifest's ``runtime_options.task``, which wins; None: it names none.

    Returns:
        one of ``TASKS``, or why there is none: a text that lists those there are.
    """
    if wanted is not None:
        return TASKS.get(str(wanted)) or _unknown(str(wanted))
    for task in TASKS.values():
        if any(architecture.endswith(task.endings) for architecture in architectures):
            return task
    kinds = ", ".join(
        f"*{task.endings[0]} ({name})" for name, task in TASKS.items() if task.endings
    )
    return (
        f"the model is a {list(architectures) or 'model of unnamed architecture'}; served are "
        f"{kinds}; where it can do one of {list(TASKS)} all the same, say which in "
        "runtime_options.task"
    )


def _unknown(wanted: str) -> str:
    match = difflib.get_close_matches(wanted, TASKS, n=1)
    hint = f"; did you mean '{match[0]}'?" if match else ""
    return f"runtime_options.task: there is no task '{wanted}', there are {list(TASKS)}{hint}"
