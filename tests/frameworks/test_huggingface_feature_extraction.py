"""Embeddings: pooled from the hidden states that the library's own pipeline gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.tensor import Array, Tensor
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

TEXTS = ["good day bad night", "", "night", "bad day good " * 9]


def saved(folder: Path, kind: str = "Roberta") -> Path:
    return save(folder, kind, head="Model")


def embed(executable: Executable, *items: str) -> Array:
    return output(ask(executable, *items), "embedding")


def expected(folder: Path, pooling: str, *items: str) -> Array:
    hidden = pipeline("feature-extraction", folder)
    vectors = []
    for item in items:
        tokens = np.asarray(hidden(item)[0])
        vectors.append(
            {
                "mean": tokens.mean(axis=0),
                "cls": tokens[0],
                "max": tokens.max(axis=0),
                "last": tokens[-1],
            }[pooling]
        )
    return np.array(vectors, np.float32)


class TestContract(RuntimeContractCore):
    runtime = HuggingFaceRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(saved(folder), "huggingface")

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        return (texts(*["good", "bad day bad day", "night night good", "day"][:rows]),)

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = saved(folder)
        (folder / "model.safetensors").write_bytes(b"these are no weights")
        return artifact(path, "huggingface")


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_pooling(tmp_path: Path, kind: str, pooling: str) -> None:
    executable = load(saved(tmp_path, kind), runtime_options={"pooling": pooling})
    assert executable.signature.outputs[0].shape == (-1, 16)
    wanted = expected(tmp_path, pooling, *TEXTS)
    np.testing.assert_allclose(embed(executable, *TEXTS), wanted, atol=1e-5)
    assert len({tuple(row) for row in wanted.round(3).tolist()}) >= (4 if pooling == "mean" else 2)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_padding_changes_nothing_on_either_side(tmp_path: Path, side: str, pooling: str) -> None:
    path = saved(tmp_path)
    tokenizer = tmp_path / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"padding_side": side}))
    executable = load(path, runtime_options={"pooling": pooling})
    items = ["good day", "bad", "night night bad day good"]  # so near that they run together
    alone = np.concatenate([embed(executable, item) for item in items])
    np.testing.assert_allclose(embed(executable, *items), alone, atol=1e-5)


def test_normalized(tmp_path: Path) -> None:
    path = saved(tmp_path)
    plain = embed(load(path), *TEXTS)
    unit = embed(load(path, runtime_options={"normalize": True}), *TEXTS)
    np.testing.assert_allclose(
        unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5
    )
    assert not np.allclose(np.linalg.norm(plain, axis=1), 1)


def test_the_model_behind_a_classifier(tmp_path: Path) -> None:
    path = save(tmp_path, "Bert", head="ForMaskedLM")  # it has no pooler, which nothing needs
    executable = load(path, runtime_options={"task": "feature-extraction"})
    wanted = expected(tmp_path, "mean", "good day")
    np.testing.assert_allclose(embed(executable, "good day"), wanted, atol=1e-5)


def sentence_transformers(folder: Path, pooling: dict[str, Any], **files: Any) -> Path:
    """What the sentence-transformers library saves beside a model."""
    path = saved(folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if files.pop("normalize", True) else [])]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate([*kinds, *files.pop("further", [])])
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return path


FLAGS = {
    "word_embedding_dimension": 16,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": False,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (FLAGS | {"pooling_mode_mean_tokens": True}, "mean"),
        (FLAGS | {"pooling_mode_cls_token": True}, "cls"),
        (FLAGS | {"pooling_mode_max_tokens": True}, "max"),
        (FLAGS | {"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"embedding_dimension": 16, "pooling_mode": "cls"}, "cls"),
    ],
)
def test_a_sentence_transformers_folder(
    tmp_path: Path, config: dict[str, Any], pooling: str
) -> None:
    path = sentence_transformers(tmp_path, config)
    wanted = expected(tmp_path, pooling, *TEXTS)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(load(path), *TEXTS), wanted, atol=1e-5)
    plain = load(path, runtime_options={"normalize": False, "pooling": "max"})
    np.testing.assert_allclose(embed(plain, *TEXTS), expected(tmp_path, "max", *TEXTS), atol=1e-5)


def test_its_length_case_and_prompt_hold(tmp_path: Path) -> None:
    path = sentence_transformers(
        tmp_path,
        FLAGS | {"pooling_mode_mean_tokens": True},
        normalize=False,
        sentence_bert_config={"max_seq_length": 6, "do_lower_case": True},
        config_sentence_transformers={"prompts": {"q": "bad "}, "default_prompt_name": "q"},
    )
    result = ask(load(path), "GOOD Day night", "good day night day")
    assert output(result, "truncated").tolist() == [False, True]
    (first, second) = output(result, "embedding")
    np.testing.assert_allclose(
        first, expected(tmp_path, "mean", "bad good day night")[0], atol=1e-5
    )
    np.testing.assert_allclose(first, second, atol=1e-5)
    own = load(path, runtime_options={"prompt": "", "max_length": 20})
    wanted = expected(tmp_path, "mean", "good day night day")
    np.testing.assert_allclose(embed(own, "good day night day"), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "files", "text"),
    [
        (FLAGS, {}, "1_Pooling/config.json: expected one pooling of "),
        (FLAGS | {"pooling_mode_mean_sqrt_len_tokens": True}, {}, "expected one pooling of "),
        (
            FLAGS | {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            {},
            "expected one pooling of ",
        ),
        ({"pooling_mode": "cls", "include_prompt": False}, {}, "includes the prompt"),
        ({"pooling_mode": "cls"}, {"further": ["Dense"]}, "'Dense': '3_Dense'}: served are"),
        (
            {"pooling_mode": "cls"},
            {"config_sentence_transformers": {"default_prompt_name": "q"}},
            "not as sentence-transformers writes them: KeyError: 'prompts'",
        ),
    ],
)
def test_a_folder_that_would_be_answered_wrong_is_refused(
    tmp_path: Path, pooling: dict[str, Any], files: dict[str, Any], text: str
) -> None:
    assert text in refused(sentence_transformers(tmp_path, pooling, **files))


def test_modules_that_are_no_json(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "modules.json").write_text("{")
    assert "'m' version 1 is no model transformers can load: JSONDecodeError" in refused(path)


def test_wrong_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert "$.runtime_options.pooling: expected" in refused(
        path, runtime_options={"pooling": "sum"}
    )
    assert "$.runtime_options.labels: unknown field" in refused(
        path, runtime_options={"labels": ["a"]}
    )


async def test_it_is_served(tmp_path: Path) -> None:
    saved(tmp_path / "embedder" / "1")
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer("embedder", text=TEXTS)
    wanted = expected(tmp_path / "embedder" / "1", "mean", *TEXTS)
    np.testing.assert_allclose(answer["embedding"], wanted, atol=1e-5)
