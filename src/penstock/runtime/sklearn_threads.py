"""How many threads an estimator computes with: joblib's jobs and OpenMP's threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.base import BaseEstimator
from threadpoolctl import ThreadpoolController


class OpenMpThreads:
    """OpenMP's number of threads, which each calling thread has for itself.

    BLAS has one number for the whole process, which is left alone: its users would fight for it.

    Args:
        count: threads; 0: the engine's own choice.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        controllers = ThreadpoolController().select(user_api="openmp").lib_controllers
        self._libraries = controllers if count else []

    def hold(self) -> None:
        """Make the number that of the calling thread; about a microsecond."""
        for library in self._libraries:
            library.set_num_threads(self._count)


def limit_jobs(estimator: Any, count: int) -> None:
    """Give every estimator inside this one ``n_jobs = count``; 0: as it was trained."""
    if not count:
        return
    for part in _parts(estimator, set()):
        if hasattr(part, "n_jobs"):
            part.n_jobs = count


def _parts(value: Any, seen: set[int]) -> Iterator[BaseEstimator]:
    """The estimators in a value, fitted copies in lists and attributes included."""
    if id(value) in seen:
        return
    if isinstance(value, BaseEstimator):
        seen.add(id(value))
        yield value
        for attribute in list(vars(value).values()):
            yield from _parts(attribute, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, dict):
        for item in list(value.values()):
            yield from _parts(item, seen)
