"""Which columns an estimator uses, and as what: read off its fitted first step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from penstock.core.dtype import DType
from penstock.core.tensor import Array

_SKIPPED = (None, "passthrough")
_INNER = ("best_estimator_", "regressor_")


class ColumnUse(NamedTuple):
    """What a step sees in a column.

    Attributes:
        dtype: its datatype; FP64 where nothing says more.
        example: a value it can have: ``str`` or a number.
    """

    dtype: DType
    example: Any


_NUMBER = ColumnUse(DType.FP64, 1.0)
_TEXT = ColumnUse(DType.BYTES, "")


def first_step(estimator: Any) -> Any:
    """What sees the features first: behind pipelines, searches and calibration."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in _SKIPPED]
        return first_step(steps[0]) if steps else estimator
    if isinstance(estimator, CalibratedClassifierCV):
        return first_step(estimator.calibrated_classifiers_[0].estimator)
    for name in _INNER:
        if hasattr(estimator, name):
            return first_step(getattr(estimator, name))
    return estimator


def takes_text(estimator: Any) -> bool:
    """Whether it takes a list of texts in place of rows and columns."""
    step = first_step(estimator)
    if isinstance(step, FeatureUnion):
        return any(takes_text(part) for _, part in step.transformer_list)
    tags = getattr(step, "__sklearn_tags__", None)
    return tags is not None and bool(tags().input_tags.string) and not hasattr(step, "categories_")


def picks_by_name(estimator: Any) -> bool:
    """Whether its first step looks columns up by their names, which takes a DataFrame."""
    step = first_step(estimator)
    return isinstance(step, ColumnTransformer) and any(
        isinstance(name, str) for _, _, columns in step.transformers_ for name in _listed(columns)
    )


def uses_of(estimator: Any, num_features: int) -> dict[int, ColumnUse]:
    """The columns that are used, by position, in order; those it drops are left out."""
    found: dict[int, list[ColumnUse]] = {}
    for index, use in _uses(estimator, range(num_features)):
        found.setdefault(index, []).append(use)
    return {index: _merge(found[index]) for index in sorted(found)}


def _uses(estimator: Any, columns: Sequence[int]) -> Iterator[tuple[int, ColumnUse]]:
    step = first_step(estimator)
    if isinstance(step, ColumnTransformer):
        for _, part, chosen in step.transformers_:
            if not isinstance(part, str) or part != "drop":
                yield from _uses(part, [columns[p] for p in _positions(step, chosen)])
    elif isinstance(step, FeatureUnion):
        for _, part in step.transformer_list:
            yield from _uses(part, columns)
    else:
        yield from zip(columns, _seen_by(step, len(columns)), strict=True)


def _seen_by(step: Any, count: int) -> list[ColumnUse]:
    """What a step that is no container sees in each of its columns."""
    categories = getattr(step, "categories_", None)
    if isinstance(categories, list) and len(categories) == count:
        return [_use_of(values) for values in categories]
    statistics = getattr(step, "statistics_", None)  # of an imputer
    if isinstance(statistics, np.ndarray) and statistics.dtype == object:
        return [_use_of(np.array([value], object)) for value in statistics.tolist()]
    return [_TEXT if takes_text(step) else _NUMBER] * count


def _use_of(values: Array) -> ColumnUse:
    """The use of a column that holds such values."""
    known = values.tolist()
    texts = [value for value in known if isinstance(value, str)]
    if texts:
        return ColumnUse(DType.BYTES, texts[0])
    if values.dtype.kind in "iu" and known:
        return ColumnUse(DType.INT64, known[0])
    if values.dtype.kind == "b" and known:
        return ColumnUse(DType.BOOL, known[0])
    numbers = [v for v in known if isinstance(v, int | float) and v == v]  # no NaN
    return ColumnUse(DType.FP64, numbers[0]) if numbers else _NUMBER


def _merge(uses: Sequence[ColumnUse]) -> ColumnUse:
    """One use of several: what a step has seen goes before what was only assumed."""
    seen = [use for use in uses if use is not _NUMBER] or uses
    texts = [use for use in seen if use.dtype is DType.BYTES]
    if texts:
        return max(texts, key=lambda use: bool(use.example))
    return seen[0] if len({use.dtype for use in seen}) == 1 else _NUMBER


def _positions(step: ColumnTransformer, chosen: Any) -> list[int]:
    names = [str(name) for name in getattr(step, "feature_names_in_", ())]
    everything = list(range(step.n_features_in_))
    if isinstance(chosen, slice) and isinstance(chosen.start or chosen.stop, str):
        start = 0 if chosen.start is None else names.index(chosen.start)
        stop = len(names) if chosen.stop is None else names.index(chosen.stop) + 1
        return everything[start:stop]
    if isinstance(chosen, slice):
        return everything[chosen]
    listed = _listed(chosen)
    if listed and isinstance(listed[0], bool):
        return [index for index, is_chosen in enumerate(listed) if is_chosen]
    return [names.index(item) if isinstance(item, str) else everything[item] for item in listed]


def _listed(chosen: Any) -> list[Any]:
    if isinstance(chosen, slice):
        return [chosen.start, chosen.stop]
    return list(np.atleast_1d(np.asarray(chosen)).tolist())


def example_values(uses: Mapping[int, ColumnUse], num_features: int) -> list[Any]:
    """A row's values, one for each feature; a number where nothing is known of it."""
    return [uses.get(index, _NUMBER).example for index in range(num_features)]
