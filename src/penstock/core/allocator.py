"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``mallopt``."""
_MAPPED_FROM_BYTES = 32 * 1024 * 1024
_KEPT_BYTES = 64 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let the next large block take the memory of the last one.

    glibc gives large blocks back to the kernel when they are freed, and each page of the next one
    is a page fault, 256 of them a MiB, which on a virtual machine may take longer than the rest of
    a request with such a tensor. It learns to keep them, but only as many bytes as
    twice its largest block, which is less than some requests at a time hold. Here it is told at
    once what it would learn at most: blocks to 32 MiB stay in the process, and 64 MiB of what is
    free at the end of the heap.

    Does nothing where the C library has no such setting.

    Source: mallopt(3); benchmarks/results/image.md.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
