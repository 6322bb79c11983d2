"""LightGBM's text format, as far as it must be checked before LightGBM sees it. Pure.

LightGBM parses trees on threads of its own and ends the whole process where one is not what the
header promised, as it is in a file that was cut or whose line ends were changed.
Source: LightGBM, ``src/boosting/gbdt_model_text.cpp``, ``LoadModelFromString``.
"""

from __future__ import annotations

from penstock.runtime.tabular.lightgbm_tree import find_tree_fault

_FIRST_LINE = b"tree\n"
_TREES = b"\nTree=0\n"
_END = b"end of trees"


def read_header(data: bytes) -> dict[str, str]:
    """The fields before the first tree; a field without a value is ""."""
    head = data.partition(_TREES)[0].decode(errors="replace")
    return {key: value for key, _, value in (line.partition("=") for line in head.split("\n"))}


def find_fault(data: bytes) -> str | None:
    """Why this is no whole model of at least one tree, for people; None: it is one."""
    if not data.startswith(_FIRST_LINE):
        if data.startswith(b"tree\r\n"):
            return "its line ends were changed to those of Windows"
        return "it does not begin with the line 'tree'"
    start = data.find(_TREES) + 1
    if not start:
        return "it ends before its first tree, or has none"
    try:
        header = read_header(data)
        sizes = [int(size) for size in header.get("tree_sizes", "").split()]
        num_features = int(header.get("max_feature_idx", "")) + 1
    except ValueError:
        return "its 'tree_sizes' or 'max_feature_idx' are no numbers"
    for index, size in enumerate(sizes):
        tree = data[start : start + size]
        if len(tree) != size or not tree.startswith(b"Tree=%d\n" % index):
            return f"tree {index} of {len(sizes)} is not where its header says, or not whole"
        fault = find_tree_fault(tree, num_features)
        if fault is not None:
            return f"tree {index} of {len(sizes)}: {fault}"
        start += size
    if not data.startswith(_END, start):
        return f"the text does not end after its {len(sizes)} trees"
    return None
