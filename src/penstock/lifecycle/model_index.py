"""The index of a repository: everything stored, joined with what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from penstock.core.status import VersionState, VersionStatus
from penstock.repository.artifact import BadArtifact, StoredModel


class IndexRow(NamedTuple):
    """One version of one model in the index.

    Attributes:
        name: the model's name.
        version: the version; None: the model has none that could be read.
        state: where it is in its life; NEW where it was never loaded.
        reason: why it is not ready, or not what the files say; "" where there is nothing to say.
        revision: the fingerprint of what is loaded or stored.
        labels: the labels that point at it.
    """

    name: str
    version: int | None
    state: VersionState
    reason: str = ""
    revision: str = ""
    labels: tuple[str, ...] = ()


def build_index(
    stored: Mapping[str, StoredModel],
    statuses: Iterable[VersionStatus],
    outcomes: Mapping[str, Iterable[VersionStatus]],
) -> list[IndexRow]:
    """Join what is stored with what the Manager says, by name and version.

    Args:
        stored: every model there is, by name.
        statuses: the Manager's; they win.
        outcomes: how the last explicit load or unload of a model ended, by name; they say what
            became of versions that the Manager has forgotten.

    Returns:
        a row per version; a model without any has one row, of version None. What serves although
        the model's files are wrong has the error for its reason.
    """
    rows: dict[tuple[str, int], IndexRow] = {}
    for model in stored.values():
        for row in _stored_rows(model):
            rows[model.name, -1 if row.version is None else row.version] = row
    for name, outcome in outcomes.items():
        for status in outcome:
            if (name, status.id.version) in rows:
                rows[name, status.id.version] = _row(status)
    for status in statuses:
        if (status.id.name, -1) in rows:  # its error stands for the whole model
            rows[status.id.name, -1] = _row(status)._replace(version=None)
        else:
            rows[status.id] = _row(status)
            of = stored.get(status.id.name)
            if of is not None and of.error is not None and not status.reason:
                reason = f"serves its last good state: {of.error.message}"
                rows[status.id] = rows[status.id]._replace(reason=reason)
    return [rows[key] for key in sorted(rows)]


def _stored_rows(model: StoredModel) -> list[IndexRow]:
    reason = "" if model.error is None else model.error.message
    if not model.versions:
        return [IndexRow(model.name, None, VersionState.NEW, reason or "no version is available")]
    return [
        IndexRow(
            model.name,
            version.id.version,
            VersionState.NEW,
            version.error.message if isinstance(version, BadArtifact) else reason,
            version.revision,
            tuple(sorted(k for k, at in model.manifest.labels.items() if at == version.id.version)),
        )
        for version in model.versions
    ]


def _row(status: VersionStatus) -> IndexRow:
    return IndexRow(
        status.id.name,
        status.id.version,
        status.state,
        status.reason,
        status.revision,
        status.labels,
    )
