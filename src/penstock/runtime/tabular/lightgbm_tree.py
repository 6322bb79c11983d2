"""One tree of LightGBM's text format, checked before LightGBM walks it. Pure.

LightGBM believes what a tree says: an array too short ends the process, a child or feature that
is not there reads foreign memory, and a child that is its own parent never returns.
Source: LightGBM, ``src/io/tree.cpp``, ``Tree::Tree(const char*)``; a split's children are made
after it, so their indices are larger.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from penstock.core.tensor import Array

_PER_SPLIT = ("split_gain", "internal_value", "internal_weight", "internal_count")
_PER_LEAF = ("leaf_weight", "leaf_count")


def find_tree_fault(text: bytes, num_features: int) -> str | None:
    """What is wrong with a tree, for people; None: it can be walked.

    Args:
        text: the tree's block, from its line ``Tree=N``.
        num_features: features of the model.
    """
    fields = {key: value for key, _, value in (line.partition(b"=") for line in text.split(b"\n"))}
    tree = {key.decode(errors="replace"): value for key, value in fields.items()}
    try:
        return _find_fault(tree, num_features)
    except KeyError as err:
        return f"its field {err} is missing"
    except ValueError:
        return "a field holds something else than numbers"


def _find_fault(tree: Mapping[str, bytes], num_features: int) -> str | None:
    leaves, categories = int(tree["num_leaves"]), int(tree.get("num_cat", b"0"))
    splits = leaves - 1
    if splits < 0:
        return f"it has {leaves} leaves"
    sizes = {"leaf_value": leaves, **dict.fromkeys(_PER_LEAF, leaves)}
    if splits:
        names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
        sizes |= dict.fromkeys((*names, *_PER_SPLIT), splits)
    for name, size in sizes.items():
        optional = name in _PER_SPLIT or name in _PER_LEAF
        got = _numbers(tree.get(name, b"") if optional else tree[name]).size
        if got != size and not (optional and got == 0):
            return f"its {name} has {got} numbers, expected {size}"
    if not splits:
        return None
    if not _within(_whole(tree["split_feature"]), 0, num_features):
        return f"it splits on a feature that is none of {num_features}"
    for side in ("left_child", "right_child"):
        children = _whole(tree[side])
        is_split = children >= 0
        is_later = children > np.arange(splits)
        if not _within(children, -leaves, splits) or not is_later[is_split].all():
            return f"its {side} leads nowhere, or in a circle"
    return _find_category_fault(tree, categories)


def _find_category_fault(tree: Mapping[str, bytes], categories: int) -> str | None:
    is_categorical = (_whole(tree["decision_type"]) & 1).astype(bool)
    if not is_categorical.any():
        return None
    bounds = _whole(tree["cat_boundaries"])
    words = _numbers(tree["cat_threshold"]).size
    if bounds.size != categories + 1 or (np.diff(bounds) < 0).any() or bounds[-1] != words:
        return "its cat_boundaries do not fit its categories"
    chosen = _numbers(tree["threshold"])[is_categorical]
    return None if _within(chosen, 0, categories) else "it splits on a category set it lacks"


def _numbers(text: bytes) -> Array:
    return np.array(text.split(), dtype="S").astype(np.float64)


def _whole(text: bytes) -> Array:
    return np.array(text.split(), dtype="S").astype(np.int64)


def _within(values: Array, start: int, stop: int) -> bool:
    return bool(((values >= start) & (values < stop)).all())
