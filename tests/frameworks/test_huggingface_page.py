"""The examples in ``docs/huggingface.md`` run, on small random models of the names they use."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.runtime.huggingface.task import TASKS
from tests.frameworks import test_huggingface_feature_extraction as embeddings
from tests.frameworks import test_huggingface_image_classification as images
from tests.frameworks import test_huggingface_token_classification as tokens
from tests.frameworks.huggingface_models import save

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/huggingface.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page")
    versions = {name: made / "models" / name / "1" for name in NAMES}
    save(versions["mood"])
    tokens.saved(versions["names"])
    pooling = {"pooling_mode": "mean"}
    embeddings.sentence_transformers(versions["embedder"], pooling)
    save(versions["topics"], labels=["contradiction", "neutral", "entailment"])
    (versions["topics"].parent / "model.yaml").write_text(
        "runtime_options: {task: zero-shot-classification}\n"
    )
    images.saved(versions["animals"])
    return made


NAMES = ("mood", "names", "embedder", "topics", "animals")


def test_each_task_has_an_example_and_a_row() -> None:
    assert len(EXAMPLES) == len(NAMES) == len(TASKS)
    for name, task in TASKS.items():
        assert f"| `{name}`" in PAGE
        assert all(f"`*{ending}`" in PAGE for ending in task.endings)


@pytest.mark.parametrize("code", EXAMPLES, ids=NAMES)
def test_an_example_does_what_it_says(folder: Path, code: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
