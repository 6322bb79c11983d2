"""Fingerprint: did what is on disk change since the last look."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from penstock.repository.listing import Entry


def fingerprint(files: Iterable[Entry], manifest_content: bytes = b"") -> str:
    """The revision of a version.

    Law: equal for equal sets of (relative path, size, time of modification) and equal manifest
    bytes, in any order; stable between runs of the program.

    Args:
        files: the version's files; their time of status change does not count.
        manifest_content: the bytes of the model's manifest; empty: it has none.

    Returns:
        16 hex digits.

    Concurrency: pure; never blocks.
    """
    digest = hashlib.blake2b(b"%d:" % len(manifest_content), digest_size=8)
    digest.update(manifest_content)
    for file in sorted(files, key=lambda entry: entry.path):
        name = file.path.encode("utf-8", "surrogateescape")
        digest.update(b" %d:%s %d %d" % (len(name), name, file.size_bytes, file.mtime_ns))
    return digest.hexdigest()
