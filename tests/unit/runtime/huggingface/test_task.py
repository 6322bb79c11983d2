"""Which task a saved model is for."""

import importlib.util

import pytest

from penstock.runtime.huggingface.task import TASKS, choose_task


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("BertForTokenClassification", "token-classification"),
        ("ViTForImageClassification", "image-classification"),
        ("XLMRobertaModel", "feature-extraction"),
    ],
)
def test_the_architecture_says(architecture: str, name: str) -> None:
    assert choose_task(["Other", architecture]) is TASKS[name]
    assert (
        choose_task([architecture], "zero-shot-classification")
        is (TASKS["zero-shot-classification"])
    )


@pytest.mark.parametrize("architectures", [[], ["GPT2LMHeadModel2"], ["BertForMaskedLM"]])
def test_an_architecture_of_no_task_lists_those_there_are(architectures: list[str]) -> None:
    text = choose_task(architectures)
    assert isinstance(text, str)
    assert all(name in text for name in TASKS)


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("token-clasification", "; did you mean 'token-classification'?"),
        (3, "there is no task '3', there are ['text-classification', "),
        ("", "there is no task ''"),
    ],
)
def test_a_task_that_is_not_known_lists_those_that_are(wanted: object, hint: str) -> None:
    text = choose_task(["BertModel"], wanted)
    assert isinstance(text, str)
    assert hint in text
    assert all(name in text for name in TASKS)


def test_the_code_of_each_task_is_there() -> None:
    for task in TASKS.values():
        assert importlib.util.find_spec(task.module) is not None
