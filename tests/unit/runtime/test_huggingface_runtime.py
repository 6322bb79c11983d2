"""The ``huggingface`` runtime with small random models, and the hub as far as it can be had."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances
from penstock.runtime.executable import ExecuteResult
from tests.contract.runtime_contract import NoClient, RuntimeContract, artifact

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from penstock.runtime.huggingface_runtime import (  # noqa: E402  # needs the imports above
    HuggingFaceExecutable,
    HuggingFaceRuntime,
)

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", "day", "night"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "initializer_range": 1.0,
    "pad_token_id": 1,
}
NAMES = ["negative", "neutral", "positive"]


def save_tokenizer(folder: Path, words: list[str] = WORDS, **options: Any) -> None:
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"pad_token": "<pad>", "unk_token": "<unk>", **options}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(
        folder
    )


def save(folder: Path, kind: str = "Roberta", head: str = "ForSequenceClassification") -> Path:
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(7)
    labels = dict(enumerate(NAMES))
    config = getattr(transformers, f"{kind}Config")(
        id2label=labels, label2id={name: i for i, name in labels.items()}, **SIZES
    )
    getattr(transformers, kind + head)(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder / "config.json"


def change(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def load(path: Path, **manifest: Any) -> HuggingFaceExecutable:
    return HuggingFaceRuntime().load(artifact(path, "huggingface", **manifest), NoClient())


def classify(executable: HuggingFaceExecutable, *texts: str | bytes) -> ExecuteResult:
    items = [text.encode() if isinstance(text, str) else text for text in texts]
    return executable.execute((Tensor("text", DType.BYTES, object_array(items)),), {})


def scores(executable: HuggingFaceExecutable, *texts: str | bytes) -> Any:
    return classify(executable, *texts).outputs[1].array


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    return caught.value.message


class TestArtifacts:
    """The contract's tests of bad artifacts; a classifier is no identity, which the others ask."""

    runtime = HuggingFaceRuntime()
    load = RuntimeContract.load
    test_corrupt = RuntimeContract.test_a_corrupt_artifact_is_load_failed_and_may_be_tried_again
    test_missing = RuntimeContract.test_a_missing_artifact_is_load_failed

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
    ]
    assert executable.signature.outputs[1].labels == tuple(NAMES)
    texts = ["good day", "bad night " * 12, "", "day", "good " * 30]
    label, got = (t.array for t in classify(executable, *texts).outputs)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for row, text in enumerate(texts):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        expected = logits.softmax(-1)[0].numpy()
        np.testing.assert_allclose(got[row], expected, atol=1e-5)
        assert label[row] == NAMES[int(expected.argmax())].encode()
    assert len({tuple(row) for row in got.round(4).tolist()}) == len(texts)


def test_multi_label_scores_are_independent(tmp_path: Path) -> None:
    path = change(save(tmp_path), problem_type="multi_label_classification")
    assert not np.allclose(scores(load(path), "good day").sum(), 1)


def test_a_bad_row_is_refused_alone(tmp_path: Path) -> None:
    executable = load(save(tmp_path))
    result = classify(executable, "good", b"\xff", "bad")
    assert result.outputs[0].shape == (2,)
    assert result.outputs[1].shape == (2, 3)
    assert {row: err.reason for row, err in result.invalid.items()} == {
        1: "input 'text': expected UTF-8 text, got other bytes"
    }
    assert classify(executable, b"\xff").outputs[1].shape == (0, 3)


def test_long_text_is_cut(tmp_path: Path) -> None:
    path = save(tmp_path)
    np.testing.assert_array_equal(
        scores(load(path), "good " * 36), scores(load(path), "good " * 500)
    )
    short = load(path, runtime_options={"max_length": 4})
    np.testing.assert_array_equal(scores(short, "good bad"), scores(short, "good bad night day"))


def test_options(tmp_path: Path) -> None:
    executable = load(save(tmp_path), runtime_options={"labels": ["a", "b", "c"]})
    assert executable.signature.outputs[1].labels == ("a", "b", "c")
    assert classify(executable, "good").outputs[0].array[0] in (b"a", b"b", b"c")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lables": ["a"]}, "Object contains unknown field `lables`"),
        ({"max_length": "x"}, "Expected `int | null`, got `str` - at `$.max_length`"),
        (
            {"labels": ["a", "b"]},
            "Expected 3 labels, one for each class of the model, got 2 - at `$.labels`",
        ),
        (
            {"max_length": 39},
            "Expected at most 38 tokens, which is what the model can take, got 39 - "
            "at `$.max_length`",
        ),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    message = refused(save(tmp_path), runtime_options=options)
    assert message == f"'m' version 1: runtime_options of 'huggingface': {text}"


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
        "'m' version 1: the model is a ['RobertaForMaskedLM']; today sequence classifiers are "
        "served, whose architecture ends in ForSequenceClassification"
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
from tests.unit.runtime.test_huggingface_runtime import HuggingFaceRuntime, classify
try:
    ref = artifact(Path(sys.argv[1]), "huggingface")
    print(classify(HuggingFaceRuntime().load(ref, NoClient()), "good day").outputs[1].array.shape)
except Exception as err:
    print(type(err).__name__, err)
"""


def in_own_process(path: Path, hub_home: Path) -> subprocess.CompletedProcess[str]:
    """Load and classify where the hub's settings, which are read at import, are these."""
    env = {**os.environ, "HF_HOME": str(hub_home), "HF_HUB_OFFLINE": "1"}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        env.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", HUB_SCRIPT, str(path)],
        env={**env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.parametrize("pin", ["", "@main", "@" + "ab" * 20])
def test_a_hub_model_in_the_local_cache(tmp_path: Path, pin: str) -> None:
    commit = "ab" * 20
    cached = tmp_path / "home" / "hub" / "models--tiny--mood"
    (cached / "snapshots").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    save(tmp_path / "saved")
    shutil.copytree(tmp_path / "saved", cached / "snapshots" / commit)
    path = tmp_path / "model.hub"
    path.write_text(f"tiny/mood{pin}\n")
    ran = in_own_process(path, tmp_path / "home")
    assert (ran.stdout, ran.stderr) == ("(1, 3)\n", "")


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
