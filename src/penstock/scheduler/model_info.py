"""ModelInfo: what a loaded version is."""

from __future__ import annotations

import msgspec

from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature
from penstock.repository.manifest import Manifest

_MAX_BATCH_SIZE = 32


class ModelInfo(msgspec.Struct, frozen=True):
    """What a loaded version is, for metadata and for the scheduler.

    Attributes:
        id: which version.
        runtime: the runtime's name.
        platform: the protocol's name for framework and format.
        signature: what it takes and gives, manifest applied.
        manifest: its manifest.
        warm_up_ns: its shortest execution during warm-up.
    """

    id: ServableId
    runtime: str
    platform: str
    signature: ModelSignature
    manifest: Manifest = msgspec.field(default_factory=Manifest)
    warm_up_ns: int = 2**62

    @property
    def max_batch_size(self) -> int:
        """The most rows of one execution; 0: the model takes no batch dimension."""
        return max_batch_size(self.signature, self.manifest)


def max_batch_size(signature: ModelSignature, manifest: Manifest) -> int:
    """The most rows of one execution of such a model; 0: it takes no batch dimension."""
    if not signature.batched:
        return 0
    declared = manifest.max_batch_size
    return _MAX_BATCH_SIZE if declared is None else declared
