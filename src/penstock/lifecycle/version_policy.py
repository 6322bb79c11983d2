"""VersionPolicy: which of the versions there are should serve. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from penstock.core.errors import ConfigError
from penstock.repository.manifest import VersionPolicyFields


def choose_versions(
    policy: VersionPolicyFields | Literal["all"], available: Iterable[int]
) -> tuple[int, ...]:
    """Choose the versions that should serve.

    Args:
        policy: ``"all"``, or exactly one of ``latest`` and ``specific``.
        available: the version numbers there are, in any order.

    Returns:
        the chosen numbers, ascending, each one of ``available``; a ``specific`` version that
        is not there is not chosen.

    Raises:
        ConfigError: not exactly one field is set, or one has no meaning; names the field.
    """
    versions = sorted(set(available))
    if policy == "all":
        return tuple(versions)
    check_version_policy(policy)
    if policy.latest is not None:
        return tuple(versions[-policy.latest :])
    specific = frozenset(policy.specific or ())
    return tuple(version for version in versions if version in specific)


def check_version_policy(policy: VersionPolicyFields) -> None:
    """Check the fields against each other.

    Raises:
        ConfigError: names the field, what was expected and what came.
    """
    if (policy.latest is None) == (policy.specific is None):
        raise ConfigError(
            "version_policy: exactly one of 'latest' and 'specific' must be set, got "
            + ("neither" if policy.latest is None else "both")
        )
    if policy.latest is not None and policy.latest < 1:
        raise ConfigError(f"version_policy.latest: expected at least 1, got {policy.latest}")
    if policy.specific is not None:
        _check_specific(policy.specific)


def _check_specific(specific: tuple[int, ...]) -> None:
    if not specific:
        raise ConfigError("version_policy.specific: expected at least one version, got none")
    for version in specific:
        if version < 0:
            raise ConfigError(f"version_policy.specific: a version is a number >= 0, got {version}")
