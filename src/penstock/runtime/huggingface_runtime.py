"""The ``huggingface`` runtime: models of the transformers library, on PyTorch."""

from __future__ import annotations

import importlib
from typing import cast

from penstock.core.errors import LoadFailed
from penstock.core.model import ModelClient
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.task import Task, choose_task


class HuggingFaceRuntime:
    """Loads saved transformers models and names on a model hub, one task each."""

    platform = "pytorch_transformers"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> Executable:
        """Load what the task needs, from the hub where one is named; see ``Runtime.load``."""
        del client  # these models call nobody
        wanted = artifact.manifest.runtime_options.get("task")
        if wanted is not None:
            _check(artifact, choose_task((), wanted))  # before anything is fetched
        pretrained = Pretrained(artifact)
        task = _check(artifact, choose_task(pretrained.config.architectures or (), wanted))
        loader = getattr(importlib.import_module(task.module), task.class_name)
        return cast(Executable, loader.load(pretrained))


def _check(artifact: ArtifactRef, choice: Task | str) -> Task:
    if isinstance(choice, str):
        raise LoadFailed(f"{artifact.id}: {choice}")
    return choice
