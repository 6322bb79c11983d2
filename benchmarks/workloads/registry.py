"""All workloads, in the order in which a run goes through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads.gil import gil
from benchmarks.workloads.image import image
from benchmarks.workloads.minilm import minilm
from benchmarks.workloads.tiny import tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.workloads.workload import Workload

WORKLOADS: dict[str, Callable[[], Workload]] = {
    "tiny": tiny,
    "image": image,
    "minilm": minilm,
    "gil": gil,
}
