"""Entities of texts: as the library's own pipeline finds them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.huggingface_models import (
    HuggingFaceRuntime,
    ask,
    change,
    load,
    output,
    pipeline,
    refused,
    save,
    texts,
)

HEAD = "ForTokenClassification"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXTS = [
    "good day bad night",
    "day  day,day! é good bad good bad night unknown",
    "",
    "night",
    "bad " * 60,
    "bad night day good night day bad day good night bad",
]


def saved(folder: Path) -> Path:
    return save(folder, head=HEAD, labels=LABELS)


def entities(executable: Executable, *items: str) -> list[list[dict[str, Any]]]:
    return [json.loads(item) for item in output(ask(executable, *items), "entities")]


class TestContract(RuntimeContractCore):
    runtime = HuggingFaceRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(saved(folder), "huggingface", runtime_options={"aggregation": "none"})

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        return (texts(*["good", "bad day bad day", "night night good", "day"][:rows]),)

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = saved(folder)
        (folder / "model.safetensors").write_bytes(b"these are no weights")
        return artifact(path, "huggingface")

    # scores of one text and of a batch differ in their last digits, which JSON shows
    test_a_row_is_answered_alike_alone_and_in_a_batch = None
    test_two_copies_are_strangers = None


def test_a_row_is_answered_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    executable = load(saved(tmp_path))
    together = entities(executable, *TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = entities(executable, text)
        assert_same(found, alone)
    assert len(together[1]) > 1


@pytest.mark.parametrize("aggregation", ["simple", "none"])
def test_entities_are_those_of_transformers(tmp_path: Path, aggregation: str) -> None:
    path = saved(tmp_path)
    executable = load(path, runtime_options={"aggregation": aggregation})
    reference = pipeline("token-classification", tmp_path, aggregation_strategy=aggregation)
    reference.tokenizer.model_max_length = 38  # without it the library fails on the long text
    found = entities(executable, *TEXTS)
    for text, got in zip(TEXTS, found, strict=True):
        name = "entity" if aggregation == "none" else "entity_group"
        wanted = [
            {
                "text": text[item["start"] : item["end"]],
                "label": item[name],
                "score": float(item["score"]),
                "start": item["start"],
                "end": item["end"],
            }
            for item in (reference(text) if text else [])
        ]
        assert_same(got, wanted)
    assert sum(map(len, found)) > 10


def test_padding_on_the_left_changes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path)
    wanted = entities(load(path), "bad day", "good", "night day bad good night")
    change(tmp_path / "tokenizer_config.json", padding_side="left")
    got = entities(load(path), "bad day", "good", "night day bad good night")
    for one, other in zip(got, wanted, strict=True):
        assert_same(one, other)
    assert any(wanted)


def test_places_are_characters_of_the_text(tmp_path: Path) -> None:
    text = "𝄞 é good  bad"
    (found,) = entities(load(saved(tmp_path), runtime_options={"ignore_labels": []}), text)
    assert found
    assert all(text[item["start"] : item["end"]] == item["text"] for item in found)
    assert found[-1]["end"] == len(text)


def test_ignored_labels(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (every,) = entities(load(path, runtime_options={"ignore_labels": []}), TEXTS[1])
    seen = {item["label"] for item in every}
    (none,) = entities(load(path, runtime_options={"ignore_labels": sorted(seen)}), TEXTS[1])
    assert seen <= {"O", "PER", "LOC"}
    assert none == []


def test_what_is_cut_off_is_said(tmp_path: Path) -> None:
    result = ask(load(saved(tmp_path)), "good", "bad " * 60)
    assert output(result, "truncated").tolist() == [False, True]


def test_a_bad_row_is_refused_alone(tmp_path: Path) -> None:
    result = ask(load(saved(tmp_path)), b"\xff", "good")
    assert list(result.invalid) == [0]
    assert output(result, "entities").shape == (1,)


def test_labels_and_wrong_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    names = [f"I-{i}" for i in range(5)]
    executable = load(path, runtime_options={"labels": names})
    assert all(item["label"] in "01234" for item in entities(executable, TEXTS[1])[0])
    assert "expected 5 labels" in refused(path, runtime_options={"labels": ["a"]})
    assert "$.runtime_options.aggregation: expected" in refused(
        path, runtime_options={"aggregation": "first"}
    )
    assert "$.runtime_options.pooling: unknown field" in refused(
        path, runtime_options={"pooling": "cls"}
    )


async def test_it_is_served(tmp_path: Path) -> None:
    saved(tmp_path / "ner" / "1")
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer("ner", text=TEXTS)
    assert answer["entities"].shape == (len(TEXTS),)
    assert json.loads(answer["entities"][2]) == []


def assert_same(got: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [{**item, "score": None} for item in got] == [{**i, "score": None} for i in wanted]
    np.testing.assert_allclose(
        [item["score"] for item in got], [item["score"] for item in wanted], atol=1e-5
    )
