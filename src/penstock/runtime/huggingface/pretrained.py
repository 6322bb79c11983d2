"""Pretrained: a saved or hub model on its way into memory, part by part."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import huggingface_hub.utils
import torch
import transformers
from huggingface_hub import hf_hub_download, is_offline_mode
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.device import choose_device
from penstock.runtime.huggingface.options import TaskOptions
from penstock.runtime.huggingface.torch_model import TorchModel
from penstock.runtime.huggingface_source import explain, find_source

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Pretrained:
    """Reads configuration, tokenizer, weights and further files of one model.

    Attributes:
        artifact: what is loaded.
        config: the model's own configuration.

    Every method blocks, reaches the hub where the model is on one, and raises LoadFailed, which
    says what was asked for and what to do.
    """

    def __init__(self, artifact: ArtifactRef) -> None:
        self.artifact = artifact
        self._source = find_source(artifact)
        _quieten()
        self.config: Any = self.load(transformers.AutoConfig)

    def load(self, kind: Any, **options: Any) -> Any:
        """``kind.from_pretrained``, without code that came with the model."""
        try:
            return kind.from_pretrained(
                self._source.location, trust_remote_code=False, **self._where(), **options
            )
        except Exception as err:
            raise explain(self.artifact, self._source, err) from err

    def read_json(self, name: str) -> Any:
        """A further file of the model's, parsed; None: it has no such file."""
        try:
            path = self._find(name)
            return None if path is None else json.loads(path.read_bytes())
        except Exception as err:
            raise explain(self.artifact, self._source, err) from err

    def load_model(
        self, kind: Any, options: TaskOptions, *, unused: tuple[str, ...] = ()
    ) -> TorchModel:
        """Weights, whole, on the manifest's device.

        Args:
            kind: the library's class that makes the model of its configuration.
            options: for the precision, and the device where that is not there.
            unused: parts that the task never runs, which may therefore be missing.
        """
        device = choose_device(
            self.artifact,
            framework="PyTorch",
            gpu_count=torch.cuda.device_count() if torch.cuda.is_available() else 0,
            fallback_to_cpu=options.fallback_to_cpu,
        )
        model, info = self.load(
            kind, config=self.config, dtype=_DTYPES[options.precision], output_loading_info=True
        )
        lacking = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
        if lacking:
            raise self.failure(
                f"the weights lack {lacking[:4]}, which would be random: save the model that was "
                "trained for this task, not the one it was made from"
            )
        threads = self.artifact.manifest.instances.threads_per_instance
        return TorchModel(model.eval().to(device), threads=threads)

    def failure(self, text: str) -> LoadFailed:
        """The error of a model that cannot be served."""
        return LoadFailed(f"{self.artifact.id}: {text}")

    def _find(self, name: str) -> Path | None:
        """A file of the model's, fetched where it has to be.

        Where the hub is away, nobody knows whether it has the file, and the load fails. Only one
        that is told to stay offline takes what the cache lacks for what the model lacks.
        """
        source = self._source
        if not source.is_hub:
            path = Path(source.location) / name
            return path if path.is_file() else None
        try:
            return Path(hf_hub_download(source.location, name, revision=source.revision))
        except LocalEntryNotFoundError:
            if is_offline_mode():
                return None
            raise
        except EntryNotFoundError:
            return None

    def _where(self) -> dict[str, Any]:
        is_hub = self._source.is_hub
        return {"revision": self._source.revision or "main", "local_files_only": not is_hub}


def _quieten() -> None:
    """No progress bars, no advice on standard error, no conversion; the process's own settings.

    Where a hub model has pickle weights only, transformers would ask a service on the web to
    convert them, and send it the user's token for a private one: a server must not.
    """
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    huggingface_hub.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.disable_progress_bars()
