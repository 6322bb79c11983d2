"""Azurite, Microsoft's emulator of Azure's storage, which npm brings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What everybody knows; both are Azurite's own."""

_COMMAND = (
    *("npx", "--yes", "--package", "azurite@3.35.0", "azurite-blob", "--blobPort", "0"),
    *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
)
_LISTENS = "successfully listens on "


@contextmanager
def azure_server() -> Iterator[str]:
    """What connects to one that runs, as ``AZURE_STORAGE_CONNECTION_STRING`` has it."""
    assert shutil.which("npx"), "the tests of az:// need npx, of Node"
    with subprocess.Popen(
        _COMMAND, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if _LISTENS in line)
            url = line.partition(_LISTENS)[2].strip()
            yield (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint={url}/{ACCOUNT};"
            )
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # npx, and what it has started
