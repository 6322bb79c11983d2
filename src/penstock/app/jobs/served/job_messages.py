"""What a server and a job's process say to each other."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.server.jobs_api.answers import JobState

CANCEL = b"cancel\n"
"""The server's word that the job shall end."""


class Told(msgspec.Struct, frozen=True):
    """What the server tells the process first.

    Attributes:
        spec: the job.
        settings: the server's, as ``settings_out`` writes them.
        folder: the job's.
        is_upload: whether its input came with it.
    """

    spec: dict[str, Any]
    settings: dict[str, Any]
    folder: str
    is_upload: bool


class Outcome(msgspec.Struct, frozen=True):
    """What became of the job.

    Attributes:
        state: done, failed or cancelled.
        error: why it has failed.
    """

    state: JobState
    error: str = ""
