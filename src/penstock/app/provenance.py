"""Where a model comes from: what its folder, its git repository and the environment tell."""

from __future__ import annotations

import datetime
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock.core.errors import ConfigError

METRICS_NAME = "metrics.json"
_GIT_TIMEOUT_S = 30.0


def git_state(folder: Path) -> tuple[str, bool]:
    """The commit a folder is at, and whether it holds what that commit does not; "": no git.

    Concurrency: blocks on the ``git`` command, for a minute at most.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return "", False
    return commit, _git(folder, "status", "--porcelain", "--", ".") != ""


def read_metrics(sources: Mapping[str, Path]) -> dict[str, float]:
    """The numbers of a folder's ``metrics.json``; mappings inside become dotted names.

    Raises:
        ConfigError: it is not a JSON mapping of names to finite numbers.
        OSError: it cannot be read.
    """
    if METRICS_NAME not in sources:
        return {}
    try:
        data = json.loads(sources[METRICS_NAME].read_bytes())
    except (ValueError, RecursionError) as err:
        raise ConfigError(f"{METRICS_NAME}: not JSON: {err}") from err
    return dict(_numbers(data, ""))


def source_date(environ: Mapping[str, str]) -> str:
    """``SOURCE_DATE_EPOCH`` as ``2026-01-31T12:00:00Z``; "": it is not set.

    Raises:
        ConfigError: it is no number of seconds since 1970.

    Source: reproducible-builds.org, SOURCE_DATE_EPOCH specification.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    try:
        date = datetime.datetime.fromtimestamp(int(text), datetime.UTC)
    except (ValueError, OverflowError, OSError) as err:
        raise ConfigError(
            f"SOURCE_DATE_EPOCH: expected whole seconds since 1970, got {text[:64]!r}"
        ) from err
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _numbers(data: object, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _numbers(value, f"{name}.{key}" if name else str(key))
    elif not name or isinstance(data, bool) or not isinstance(data, int | float):
        where = f"'{name}': expected a number" if name else "expected a mapping of names to numbers"
        raise ConfigError(f"{METRICS_NAME}: {where}, got {type(data).__name__}")
    else:
        yield name, finite(f"{METRICS_NAME}: '{name}'", data)


def finite(name: str, value: float) -> float:
    """A metric's value.

    Raises:
        ConfigError: it is infinite, not a number, or beyond the largest one.
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{name}: expected a finite number")
    return number


def _git(folder: Path, *args: str) -> str:
    """What git prints; "": nothing, or there is no git or no repository."""
    command = ["git", "-C", str(folder), *args]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, no words of strangers
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
