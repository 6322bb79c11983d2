"""The ``huggingface`` runtime with small random models, and the hub as far as it can be had."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances
from penstock.runtime.executable import Executable
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.huggingface_models import (
    NAMES,
    WORDS,
    HuggingFaceRuntime,
    ask,
    change,
    load,
    output,
    pipeline,
    refused,
    save,
    save_tokenizer,
    texts,
    torch,
    transformers,
)


def scores(executable: Executable, *texts: str | bytes) -> Array:
    return output(ask(executable, *texts), "scores")


class TestContract(RuntimeContractCore):
    runtime = HuggingFaceRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(save(folder), "huggingface")

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        return (texts(*["good", "bad day", "night night good", "day"][:rows]),)

    def corrupt(self, folder: Path) -> ArtifactRef:
        (folder / "config.json").write_bytes(b"this is no JSON")
        (folder / "model.safetensors").write_bytes(b"these are no weights")
        return artifact(folder / "config.json", "huggingface")


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_scores_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    executable = load(save(tmp_path, kind))
    assert [(s.name, s.dtype, s.shape) for s in executable.signature.outputs] == [
        ("label", DType.BYTES, (-1,)),
        ("scores", DType.FP32, (-1, 3)),
        ("truncated", DType.BOOL, (-1,)),
    ]
    assert executable.signature.outputs[1].labels == tuple(NAMES)
    asked = ["good day", "bad night " * 12, "", "day", "good " * 30]
    answer = ask(executable, *asked)
    answers = pipeline("text-classification", tmp_path)(asked, top_k=None)
    for label, row, expected in zip(
        output(answer, "label"), output(answer, "scores"), answers, strict=True
    ):
        wanted = {item["label"]: item["score"] for item in expected}
        np.testing.assert_allclose(row, [wanted[name] for name in NAMES], atol=1e-5)
        assert label.decode() == expected[0]["label"]
    assert len({tuple(row) for row in output(answer, "scores").round(4).tolist()}) == len(asked)


def test_multi_label_scores_are_independent(tmp_path: Path) -> None:
    path = change(save(tmp_path), problem_type="multi_label_classification")
    assert not np.allclose(scores(load(path), "good day").sum(), 1)


def test_a_bad_row_is_refused_alone(tmp_path: Path) -> None:
    executable = load(save(tmp_path))
    result = ask(executable, "good", b"\xff", "bad")
    assert result.outputs[0].shape == (2,)
    assert result.outputs[1].shape == (2, 3)
    assert {row: err.reason for row, err in result.invalid.items()} == {
        1: "input 'text': expected UTF-8 text, got other bytes"
    }
    assert ask(executable, b"\xff").outputs[1].shape == (0, 3)


def test_long_text_is_cut_and_said_to_be(tmp_path: Path) -> None:
    path = save(tmp_path)
    answer = ask(load(path), "good " * 36, "good " * 37, "good", "good " * 500)
    np.testing.assert_array_equal(output(answer, "truncated"), [False, True, False, True])
    np.testing.assert_array_equal(
        scores(load(path), "good " * 36), scores(load(path), "good " * 500)
    )
    short = load(path, runtime_options={"max_length": 4})
    np.testing.assert_array_equal(scores(short, "good bad"), scores(short, "good bad night day"))


def test_long_text_is_refused_alone_where_that_is_wanted(tmp_path: Path) -> None:
    options = {"truncation": "refuse", "max_length": 4}
    executable = load(save(tmp_path), runtime_options=options)
    result = ask(executable, "good", "bad", b"\xff", "good bad night", "bad day")
    assert list(result.invalid) == [2, 3]
    assert result.invalid[3].index == 3
    assert result.invalid[3].reason == (
        "input 'text': longer than 4 tokens, which is what the model reads "
        "(runtime_options.truncation is refuse)"
    )
    expected = scores(executable, "good", "bad", "bad day")
    np.testing.assert_allclose(output(result, "scores"), expected, rtol=1e-5)
    assert not output(result, "truncated").any()


def test_a_lower_precision_is_nearly_the_same(tmp_path: Path) -> None:
    path = save(tmp_path)
    rough = scores(load(path, runtime_options={"precision": "bf16"}), "good day")
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, scores(load(path), "good day"), atol=0.05)
    assert not np.array_equal(rough, scores(load(path), "good day"))


def test_options(tmp_path: Path) -> None:
    executable = load(save(tmp_path), runtime_options={"labels": ["a", "b", "c"]})
    assert executable.signature.outputs[1].labels == ("a", "b", "c")
    assert output(ask(executable, "good"), "label")[0] in (b"a", b"b", b"c")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lables": ["a"]}, "lables: unknown field, did you mean 'labels'?"),
        ({"max_length": "x"}, "max_length: expected a whole number >= 4, got text 'x'"),
        (
            {"labels": ["a", "b"]},
            "labels: expected 3 labels, one for each class of the model, got 2",
        ),
        (
            {"max_length": 39},
            "max_length: expected at most 38 tokens, which is what the model can take, got 39",
        ),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    message = refused(save(tmp_path), runtime_options=options)
    assert message == f"'m' version 1: runtime 'huggingface': $.runtime_options.{text}"


def test_threads(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        scores(load(save(tmp_path), instances=Instances(threads_per_instance=1)), "good")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_device_that_is_not_there(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = refused(save(tmp_path), instances=Instances(device=device))
    assert message.startswith(
        f"'m' version 1: device '{device}' was asked for, but this PyTorch sees 0 GPUs; "
    )


def test_another_task(tmp_path: Path) -> None:
    assert refused(save(tmp_path, head="ForMaskedLM")) == (
        "'m' version 1: the model is a ['RobertaForMaskedLM']; served are "
        "*ForSequenceClassification (text-classification), *ForTokenClassification "
        "(token-classification), *ForImageClassification (image-classification), *Model "
        "(feature-extraction); where it can do one of ['text-classification', "
        "'token-classification', 'zero-shot-classification', 'image-classification', "
        "'feature-extraction'] all the same, say which in runtime_options.task"
    )


def test_a_task_that_is_not_known(tmp_path: Path) -> None:
    message = refused(save(tmp_path), runtime_options={"task": "sentence-classification"})
    assert message.startswith(
        "'m' version 1: runtime_options.task: there is no task 'sentence-classification', there "
        "are ['text-classification', 'token-classification', 'zero-shot-classification', "
    )


def test_regression(tmp_path: Path) -> None:
    assert "problem_type is regression" in refused(
        change(save(tmp_path), problem_type="regression")
    )


def test_weights_without_the_classifier(tmp_path: Path) -> None:
    path = change(
        save(tmp_path, head="ForMaskedLM"), architectures=["RobertaForSequenceClassification"]
    )
    assert "the weights lack ['classifier." in refused(path)


def test_weights_in_a_bin_file_are_read_as_weights_only(tmp_path: Path) -> None:
    path = save(tmp_path)
    wanted = scores(load(path), "good day")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    np.testing.assert_allclose(scores(load(path), "good day"), wanted, rtol=1e-6)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_is_more_than_weights_is_not_run(tmp_path: Path, zipped: bool) -> None:
    path = save(tmp_path / "model")
    (path.parent / "model.safetensors").unlink()
    torch.save(
        {"classifier.out_proj.bias": Hostile(tmp_path / "owned")},
        path.parent / "pytorch_model.bin",
        _use_new_zipfile_serialization=zipped,
    )
    assert "'m' version 1" in refused(path)
    assert not (tmp_path / "owned").exists()


def test_other_pickles_are_refused_unread(tmp_path: Path) -> None:
    path = save(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.pt")
    message = refused(path)
    assert message.startswith("'m' version 1: model.pt is refused: this pickle file can run ")
    assert "save_pretrained" in message


def test_no_weights(tmp_path: Path) -> None:
    path = save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert (
        "no weights: expected *.safetensors or pytorch_model.bin beside config.json, found "
        in refused(path)
    )


def test_cut_weights(tmp_path: Path) -> None:
    path = save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    assert "'m' version 1 is no model transformers can load: " in refused(path)


def test_another_models_tokenizer(tmp_path: Path) -> None:
    path = save(tmp_path)
    save_tokenizer(tmp_path, [*WORDS, "more"])
    assert "the tokenizer has 9 tokens, the model knows 8" in refused(path)


def test_no_padding_token(tmp_path: Path) -> None:
    path = save(tmp_path)
    save_tokenizer(tmp_path, pad_token=None)
    assert "the tokenizer has no padding token" in refused(path)


def test_no_tokenizer(tmp_path: Path) -> None:
    path = save(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    assert "'m' version 1: there is no tokenizer with the model" in refused(path)


@pytest.mark.parametrize(
    "text", ["", "bert", "a/b/c", "a/b@", "a/b\nc/d", "https://hub/a/b", "a b/c"]
)
def test_a_hub_file_that_names_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.hub"
    path.write_text(text)
    assert refused(path) == (
        "'m' version 1: model.hub: expected one line 'owner/name' or 'owner/name@revision', "
        f"got {text!r}"
    )


HUB_SCRIPT = """
import sys
from pathlib import Path
from tests.contract.runtime_contract import NoClient, artifact
from tests.frameworks.huggingface_models import HuggingFaceRuntime, ask
try:
    ref = artifact(Path(sys.argv[1]), "huggingface")
    print(ask(HuggingFaceRuntime().load(ref, NoClient()), "good day").outputs[1].array.shape)
except Exception as err:
    print(type(err).__name__, err)
"""


def in_own_process(
    path: Path, hub_home: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Load and classify where the hub's settings, which are read at import, are these."""
    env = {**os.environ, "HF_HOME": str(hub_home), "HF_HUB_OFFLINE": "1"}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        env.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", HUB_SCRIPT, str(path)],
        env={**env, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def cached(home: Path, saved: Path) -> None:
    """Put a saved model into the hub's cache, as ``tiny/mood``."""
    folder = home / "hub" / "models--tiny--mood"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(saved, folder / "snapshots" / COMMIT)


COMMIT = "ab" * 20


@pytest.mark.parametrize("pin", ["", "@main", f"@{COMMIT}"])
def test_a_hub_model_in_the_local_cache(tmp_path: Path, pin: str) -> None:
    save(tmp_path / "saved")
    cached(tmp_path / "home", tmp_path / "saved")
    path = tmp_path / "model.hub"
    path.write_text(f"tiny/mood{pin}\n")
    ran = in_own_process(path, tmp_path / "home")
    assert (ran.stdout, ran.stderr) == ("(1, 3)\n", "")


@pytest.mark.parametrize("offline", ["1", "0"])
def test_files_that_may_be_on_the_hub_or_not(tmp_path: Path, offline: str) -> None:
    """``modules.json`` is not in the cache. Offline there is none; else somebody must know."""
    save(tmp_path / "saved", head="Model")
    cached(tmp_path / "home", tmp_path / "saved")
    path = tmp_path / "model.hub"
    path.write_text(f"tiny/mood@{COMMIT}\n")
    ran = in_own_process(path, tmp_path / "home", HF_HUB_OFFLINE=offline, **NOWHERE)
    if offline == "1":
        assert (ran.stdout, ran.stderr) == ("(1,)\n", "")
    else:
        assert "is not in the local cache, and the hub cannot be reached" in ran.stdout


NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
"""A hub at a port where nobody listens."""


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    path = tmp_path / "model.hub"
    path.write_text("tiny/mood@v2\n")
    ran = in_own_process(path, tmp_path / "home")
    assert ran.stdout.count("\n") == 1
    assert ran.stdout.startswith(
        "LoadFailed 'm' version 1: hub model 'tiny/mood@v2' is not in the local cache, and the "
        "hub cannot be reached (or HF_HUB_OFFLINE is set): "
    )
    assert "HF_HOME" in ran.stdout
    assert "local directory" in ran.stdout
    assert ran.stderr == ""


async def test_it_is_served(tmp_path: Path) -> None:
    save(tmp_path / "mood" / "1")
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer("mood", text=["good day", "night " * 500])
    assert set(answer) == {"label", "scores", "truncated"}
    assert answer["scores"].shape == (2, 3)
    assert answer["truncated"].tolist() == [False, True]


async def test_a_name_on_the_hub_where_a_path_is_expected() -> None:
    with pytest.raises(ConfigError) as caught:
        async with penstock.serving("owner/name"):
            pass
    assert "model.hub" in caught.value.message
