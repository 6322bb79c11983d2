"""ModelRef: which model a job asks, as a job's file writes it. Picklable."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from penstock.core.errors import ConfigError
from penstock.jobs.predictor import ModelIdentity

_Text = Annotated[str, Meta(min_length=1)]


class ModelRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model on disk, in a store, or in a server that runs. One of ``path`` and ``url`` is set.

    Attributes:
        path: what ``penstock serve`` takes: a model file, a package, a model folder, a repository,
            the URL of a store, or ``app.py:Class``; the model is loaded into the job.
        url: the gRPC address of a server, such as ``grpc://host:8081`` (``grpcs://``: with TLS).
        name: the model's name; "": the only one at ``path``.
        version: a version number or a label; "": the newest that serves.
        max_batch_size: with ``path``, in batch jobs: the most rows of one execution, in place of
            what the model's own ``model.yaml`` says for requests that somebody waits for.
        timeout_s: with ``url``: how long an answer may take, in seconds.
        attempts: with ``url``: how often a call is tried that may succeed later.
    """

    path: _Text | None = None
    url: _Text | None = None
    name: str = ""
    version: int | str = ""
    max_batch_size: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    timeout_s: Annotated[float, Meta(gt=0)] = 60.0
    attempts: Annotated[int, Meta(ge=1)] = 5

    def check(self, source: str) -> None:
        """Check the fields against each other.

        Args:
            source: what an error calls it, such as ``job.yaml: $.model``.

        Raises:
            ConfigError: not one of ``path`` and ``url``; a server's model without a name, or with
                a ``max_batch_size``.
        """
        if (self.path is None) == (self.url is None):
            got = "neither" if self.path is None else "both"
            raise ConfigError(
                f"{source}: expected either 'path' (the model is loaded into the job) or 'url' "
                f"(a server that runs), got {got}"
            )
        if self.url is not None and not self.name:
            raise ConfigError(f"{source}.name: missing: which model of the server at {self.url}")
        if self.url is not None and self.max_batch_size is not None:
            raise ConfigError(
                f"{source}.max_batch_size: a server decides that itself: leave it out, or give the "
                "model's 'path'"
            )

    def pinned(self, identity: ModelIdentity) -> ModelRef:
        """The same place, and exactly this version: another process finds the same one."""
        version = identity.version or self.version  # 0: a server that numbers none
        return msgspec.structs.replace(self, name=identity.name, version=version)
