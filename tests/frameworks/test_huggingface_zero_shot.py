"""Zero-shot classification: scores as the library's own pipeline gives them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.huggingface_models import (
    HuggingFaceRuntime,
    ask,
    load,
    output,
    pipeline,
    refused,
    save,
    texts,
)

NLI = ["contradiction", "neutral", "entailment"]
TASK = {"task": "zero-shot-classification"}
TEMPLATE = "night {} bad"
CANDIDATES = ["good", "bad", "day night"]
TEXTS = ["good day bad night", "night", "bad day good " * 12]


def saved(folder: Path, labels: list[str] = NLI) -> Path:
    return save(folder, labels=labels)


def loaded(folder: Path, labels: list[str] = NLI, **options: Any) -> Executable:
    given = {"hypothesis_template": TEMPLATE, **TASK, **options}
    return load(saved(folder, labels), runtime_options=given)


def candidates(*rows: list[str | bytes]) -> Tensor:
    flat = [c.encode() if isinstance(c, str) else c for row in rows for c in row]
    return Tensor("candidate_labels", DType.BYTES, object_array(flat).reshape(len(rows), -1))


class TestContract(RuntimeContractCore):
    runtime = HuggingFaceRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        options = {"candidate_labels": CANDIDATES, "hypothesis_template": TEMPLATE, **TASK}
        return artifact(saved(folder), "huggingface", runtime_options=options)

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        labels = [["good", "night"], ["day", "bad"], ["bad", "good"], ["day", "night"]]
        asked = ["good", "bad day bad day", "night night good", "day"]
        return (texts(*asked[:rows]), candidates(*labels[:rows]))

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = saved(folder)
        (folder / "model.safetensors").write_bytes(b"these are no weights")
        return artifact(path, "huggingface", runtime_options=TASK)


@pytest.mark.parametrize("labels", [NLI, ["entailment", "neutral", "contradiction"]])
@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_are_those_of_transformers(
    tmp_path: Path, labels: list[str], multi_label: bool
) -> None:
    executable = loaded(tmp_path, labels, candidate_labels=CANDIDATES, multi_label=multi_label)
    result = ask(executable, *TEXTS)
    reference = pipeline("zero-shot-classification", tmp_path)
    reference.tokenizer.model_max_length = 38
    for row, text in enumerate(TEXTS):
        answer = reference(text, CANDIDATES, hypothesis_template=TEMPLATE, multi_label=multi_label)
        wanted = dict(zip(answer["labels"], answer["scores"], strict=True))
        assert [label.decode() for label in output(result, "labels")[row]] == CANDIDATES
        np.testing.assert_allclose(
            output(result, "scores")[row], [wanted[label] for label in CANDIDATES], atol=1e-5
        )
        best = wanted[output(result, "label")[row].decode()]
        assert best == pytest.approx(answer["scores"][0], abs=1e-5)  # two may be equal
    assert np.unique(output(result, "scores").round(4)).size > 3
    assert output(result, "truncated").tolist() == [False, False, True]


def test_labels_come_from_input_parameter_or_manifest(tmp_path: Path) -> None:
    executable = loaded(tmp_path, candidate_labels=CANDIDATES)
    manifest = ask(executable, "day")
    parameter = ask(executable, "day", parameters={"candidate_labels": " good ,bad,,day night"})
    given = ask(executable, "day", candidates=candidates(["good", "bad", "day night"]))
    for result in (parameter, given):
        assert output(result, "labels").tolist() == output(manifest, "labels").tolist()
        np.testing.assert_allclose(output(result, "scores"), output(manifest, "scores"), rtol=1e-5)


def test_template_and_multi_label_come_from_parameters_too(tmp_path: Path) -> None:
    executable = loaded(tmp_path, candidate_labels=CANDIDATES)
    other = ask(
        executable, "day", parameters={"hypothesis_template": "good {}", "multi_label": True}
    )
    reference = pipeline("zero-shot-classification", tmp_path)
    answer = reference("day", CANDIDATES, hypothesis_template="good {}", multi_label=True)
    wanted = dict(zip(answer["labels"], answer["scores"], strict=True))
    np.testing.assert_allclose(
        output(other, "scores")[0], [wanted[label] for label in CANDIDATES], atol=1e-5
    )


def test_one_label_is_judged_alone(tmp_path: Path) -> None:
    executable = loaded(tmp_path, candidate_labels=["good"])
    assert 0 < output(ask(executable, "day"), "scores")[0, 0] < 1


def test_braces_in_a_template_reach_nothing(tmp_path: Path) -> None:
    executable = loaded(tmp_path, candidate_labels=["good"])
    template = {"hypothesis_template": "{0.__class__} {}"}
    assert output(ask(executable, "day", parameters=template), "scores").shape == (1, 1)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"candidate_labels": 3}, "parameter 'candidate_labels': expected str, got 3"),
        ({"multi_label": "yes"}, "parameter 'multi_label': expected bool, got 'yes'"),
        ({"hypothesis_template": "x"}, "expected text with '{}' in the label's place, got 'x'"),
    ],
)
def test_wrong_parameters(tmp_path: Path, parameters: dict[str, Any], text: str) -> None:
    executable = loaded(tmp_path, candidate_labels=CANDIDATES)
    with pytest.raises(InvalidArgument) as caught:
        ask(executable, "day", parameters=parameters)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (["good", b"\xff"], "input 'candidate_labels': expected UTF-8 text"),
        (["good", " "], "input 'candidate_labels': a label is empty"),
        (["good", "bad " * 40], "leaves no room for the text: the model reads 38 tokens in all"),
    ],
)
def test_a_row_of_bad_labels_is_refused_alone(
    tmp_path: Path, row: list[str | bytes], text: str
) -> None:
    executable = loaded(tmp_path)
    fine: list[str | bytes] = ["bad", "night"]
    result = ask(executable, b"\xff", "day", "good", candidates=candidates(fine, row, fine))
    assert list(result.invalid) == [0, 1]
    assert text in result.invalid[1].reason
    alone = ask(executable, "good", candidates=candidates(fine))
    np.testing.assert_allclose(output(result, "scores"), output(alone, "scores"), rtol=1e-5)


def test_no_labels_and_too_many(tmp_path: Path) -> None:
    executable = loaded(tmp_path)
    assert "no candidate labels: send the input " in ask(executable, "day").invalid[0].reason
    many = {"candidate_labels": ",".join("x" * 300)}
    assert ask(executable, "day", parameters=many).invalid[0].reason == (
        "300 candidate labels, more than the limit of 256"
    )


def test_a_long_text_is_refused_alone_where_that_is_wanted(tmp_path: Path) -> None:
    executable = loaded(tmp_path, candidate_labels=CANDIDATES, truncation="refuse")
    result = ask(executable, *TEXTS)
    assert list(result.invalid) == [2]
    assert "longer than 38 tokens" in result.invalid[2].reason
    assert output(result, "truncated").tolist() == [False, False]
    expected = output(ask(executable, *TEXTS[:2]), "scores")
    np.testing.assert_allclose(output(result, "scores"), expected, rtol=1e-5)


def test_a_model_that_does_not_infer(tmp_path: Path) -> None:
    path = saved(tmp_path, ["a", "b", "c"])
    assert "one of whose classes is 'entailment'; this one's are ['a', 'b', 'c']" in refused(
        path, runtime_options=TASK
    )
    named = load(path, runtime_options={"labels": NLI, "candidate_labels": CANDIDATES, **TASK})
    assert output(ask(named, "day"), "scores").shape == (1, 3)


def test_wrong_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert refused(path, runtime_options={"hypothesis_template": "x", **TASK}).endswith(
        "$.runtime_options.hypothesis_template: expected '{}' in the label's place, got 'x'"
    )


async def test_it_is_served(tmp_path: Path) -> None:
    saved(tmp_path / "topics" / "1")
    (tmp_path / "topics" / "model.yaml").write_text(
        "runtime_options: {task: zero-shot-classification}\n"
    )
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer(
            "topics", text=["day", "night"], candidate_labels=[["good", "bad"], ["bad", "day"]]
        )
        with pytest.raises(InvalidArgument, match="no candidate labels"):
            await models.infer("topics", text=["day"])
    assert answer["labels"].tolist() == [[b"good", b"bad"], [b"bad", b"day"]]
    np.testing.assert_allclose(answer["scores"].sum(axis=1), 1, rtol=1e-5)
