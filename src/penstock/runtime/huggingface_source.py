"""Where a Hugging Face model comes from: a folder on disk, or a name on a model hub."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from penstock.core.causes import causes_of
from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.repository.format import HUB_FILE_NAME
from penstock.repository.remote.remote_url import parse_hub_name

_MAX_HUB_FILE_BYTES = 1024
_WEIGHTS_ONLY = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
"""What PyTorch's restricted unpickler reads: it makes tensors and nothing else."""
_SAFETENSORS_HINT = (
    "this pickle file can run any code when it is read; convert it once where you trust its maker: "
    "load it with transformers, then model.save_pretrained('OUT'), and the tokenizer likewise"
)
_UNREACHABLE_HINT = (
    "allow this machine to reach the hub, or download the model where there is a network and copy "
    "that cache here (HF_HOME, with HF_HUB_OFFLINE=1), or save the model to a local directory "
    "and serve that"
)


class ModelSource(msgspec.Struct, frozen=True):
    """What to hand to ``from_pretrained``.

    Attributes:
        location: an absolute path of a folder, or a hub's ``owner/name``.
        revision: a branch, tag or commit on the hub; None: its main branch, or a folder.
        is_hub: whether ``location`` is a name on the hub.
    """

    location: str
    revision: str | None = None
    is_hub: bool = False

    def __str__(self) -> str:
        return f"{self.location}@{self.revision}" if self.revision else self.location


def find_source(artifact: ArtifactRef) -> ModelSource:
    """Read where the model comes from. Blocks on the disk, not on the network.

    Raises:
        LoadFailed: the artifact is not there, ``model.hub`` names no model, or the folder holds
            no weights.
    """
    if not artifact.path.is_file():
        raise LoadFailed(f"{artifact.id}: there is no {artifact.path.name}")
    if artifact.path.name == HUB_FILE_NAME:
        return _read_hub_name(artifact)
    folder = artifact.path.parent
    _check_weights(artifact, folder)
    return ModelSource(str(folder))


def explain(artifact: ArtifactRef, source: ModelSource, err: Exception) -> LoadFailed:
    """One line on why ``from_pretrained`` raised: what was asked for and what to do."""
    if not source.is_hub:
        return LoadFailed(
            f"{artifact.id} is no model transformers can load: {type(err).__name__}: "
            f"{_first_line(err)}"
        )
    return LoadFailed(f"{artifact.id}: hub model '{source}' {_hub_reason(err)}")


def _hub_reason(err: Exception) -> str:
    causes = list(causes_of(err))
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return "is gated: accept its terms on the hub and set HF_TOKEN"
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return "is not on the hub, or is private: check the name, or set HF_TOKEN"
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return "has no such revision: name a branch, tag or commit after the '@'"
    unreachable = (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError)
    if any(isinstance(cause, unreachable) or _is_http(cause) for cause in causes):
        return (
            "is not in the local cache, and the hub cannot be reached (or HF_HUB_OFFLINE is set): "
            + _UNREACHABLE_HINT
        )
    return f"is no model transformers can load: {type(err).__name__}: {_first_line(err)}"


def _is_http(cause: BaseException) -> bool:
    """Whether an HTTP client's transport failed; which client the hub uses differs by version.

    The hub's library closes its client when a connection fails, and then tries once more with it.
    """
    if isinstance(cause, RuntimeError) and "client has been closed" in str(cause):
        return True
    return type(cause).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "requests")


def _first_line(err: Exception) -> str:
    return next((line.strip() for line in str(err).splitlines() if line.strip()), "")


def _read_hub_name(artifact: ArtifactRef) -> ModelSource:
    content = artifact.path.read_bytes()[:_MAX_HUB_FILE_BYTES]
    text = content.decode(errors="replace").strip()
    parsed = parse_hub_name(text)
    if parsed is None:
        raise LoadFailed(
            f"{artifact.id}: {HUB_FILE_NAME}: expected one line 'owner/name' or "
            f"'owner/name@revision', got {text[:80]!r}"
        )
    return ModelSource(*parsed, is_hub=True)


def _check_weights(artifact: ArtifactRef, folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".safetensors") or _WEIGHTS_ONLY.fullmatch(name) for name in names):
        return
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    if pickles:
        raise LoadFailed(f"{artifact.id}: {pickles[0]} is refused: {_SAFETENSORS_HINT}")
    raise LoadFailed(
        f"{artifact.id}: no weights: expected *.safetensors or pytorch_model.bin beside "
        f"{artifact.path.name}, found {names[:8]}"
    )
