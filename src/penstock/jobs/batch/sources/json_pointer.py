"""JSON pointers (RFC 6901): a place in a document. Pure."""

from __future__ import annotations

from penstock.core.errors import ConfigError


class JsonPointer:
    """A place in a JSON document.

    Args:
        text: ``""``: the whole; ``/data/items/0``: what it says, with ``~1`` for ``/`` and ``~0``
            for ``~`` in a name.
        field: what errors call it.

    Raises:
        ConfigError: it is none.
    """

    def __init__(self, text: str, field: str) -> None:
        if text and not text.startswith("/"):
            raise ConfigError(f"{field}: expected a JSON pointer such as /data, got {text[:80]!r}")
        names = text.split("/")[1:]
        self._names = [name.replace("~1", "/").replace("~0", "~") for name in names]

    def find(self, document: object) -> object:
        """What is there; None: nothing, or null."""
        for name in self._names:
            if isinstance(document, dict):
                document = document.get(name)
            elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
                document = document[int(name)]
            else:
                return None
        return document
