"""What a decoder refuses to look at. Sizes of bodies are the server's business."""

from __future__ import annotations

from typing import NamedTuple


class DecodeLimits(NamedTuple):
    """Bounds of one inference request's structure.

    Attributes:
        max_nesting: how deep arrays may nest in ``data``.
        max_dims: how many dimensions a tensor may have.
    """

    max_nesting: int = 100
    max_dims: int = 32


DEFAULT_LIMITS = DecodeLimits()
