"""GcsServer: an emulator of Google Cloud Storage in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)


class _ThereAlready(Exception):
    """An object that was to be created is there."""


class _CreatesOnly:
    """A storage in which nothing is replaced."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def create_file(self, bucket: str, name: str, *more: Any) -> None:
        try:
            self._storage.get_file_obj(bucket, name)
        except NotFound:
            self._storage.create_file(bucket, name, *more)
            return
        raise _ThereAlready


class _Handler(RequestHandler):
    """The emulator's, which does not know the condition ``ifGenerationMatch=0``."""

    def do_POST(self) -> None:
        if parse_qs(urlsplit(self.path).query).get("ifGenerationMatch") == ["0"]:
            self.storage = _CreatesOnly(self.storage)
        try:
            super().do_POST()
        except _ThereAlready:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()


class _Server(HTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Clients hang up on answers that they need no more."""


@contextmanager
def gcs_server() -> Iterator[str]:
    """The address of one that runs; it takes one request at a time."""
    server = _Server(("127.0.0.1", 0), partial(_Handler, Storage(use_memory_fs=True)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
