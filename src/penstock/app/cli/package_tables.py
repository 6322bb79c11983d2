"""What ``penstock pack`` and ``penstock inspect`` print of a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from penstock.app.cli.model_tables import plain_table
from penstock.repository.package_check import PackageReport


def package_value(path: Path, report: PackageReport, *, is_trusted: bool) -> dict[str, Any]:
    """Everything there is to say of a package, as JSON has it.

    Args:
        path: the package.
        report: what the check found.
        is_trusted: whether its signature was checked against a key.
    """
    seal = report.head.seal
    signed_by = {"key": seal.key_id, "checked": is_trusted} if seal.key_id else None
    return {
        "package": str(path),
        "bytes": report.file_bytes,
        "file_sha256": report.file_sha256,
        "package_sha256": seal.sha256,
        "signed_by": signed_by,
        **msgspec.to_builtins(report.head.manifest),
    }


def package_lines(value: Mapping[str, Any]) -> list[Any]:
    """The same for people: what it is, its tensors, its files."""
    head = plain_table()
    head.show_header = False
    head.add_column(style="bold")
    head.add_column(overflow="fold")
    for label, text in _head_rows(value):
        head.add_row(label, Text(text))
    lines: list[Any] = [head, ""]
    if value.get("signature"):
        tensors = plain_table("tensor", "name", "datatype", "shape")
        for kind in ("inputs", "outputs"):
            for tensor in value["signature"].get(kind, ()):
                shape = str(list(tensor["shape"]))
                tensors.add_row(
                    kind.removesuffix("s"), Text(tensor["name"]), tensor["datatype"], shape
                )
        lines += [tensors, ""]
    files = plain_table("file", "bytes", "sha256")
    for file in value["files"]:
        files.add_row(Text(file["path"]), str(file["size_bytes"]), file["sha256"])
    return [*lines, files, "", "every digest is right"]


def _head_rows(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and texts, without those that have nothing to say."""
    requirements, provenance = value.get("requirements", {}), value.get("provenance", {})
    metrics = provenance.get("metrics", {})
    signer = value["signed_by"]
    checked = "" if signer and signer["checked"] else " (not checked: give --trusted-key)"
    dirty = " with changes" if provenance.get("git_dirty") else ""
    rows = {
        "package": f"{value['package']}, {value['bytes']} bytes",
        "model": f"{value['name']} version {value['version']}",
        "runtime": f"{value['runtime']}, {value['entry']}",
        "signed": f"by the key {signer['key']}{checked}" if signer else "no",
        "needs": ", ".join(
            text
            for text in (requirements.get("install"), *requirements.get("packages", ()))
            if text
        ),
        "commit": f"{provenance['git_commit']}{dirty}" if "git_commit" in provenance else "",
        "metrics": ", ".join(f"{name} {number:g}" for name, number in metrics.items()),
        "data": provenance.get("data_fingerprint", ""),
        "created": provenance.get("created", ""),
        "created by": provenance.get("created_by", ""),
        "content": f"sha256 {value['content_sha256']}",
        "whole": f"sha256 {value['package_sha256']}",
        "file": f"sha256 {value['file_sha256']}",
    }
    return ((label, text) for label, text in rows.items() if text)
