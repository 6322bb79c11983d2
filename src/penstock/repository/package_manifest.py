"""PackageManifest: what a package says of itself; its only written form is canonical JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.layout import is_model_name
from penstock.repository.manifest import MANIFEST_NAME
from penstock.repository.package_path import refuse_paths

FORMAT = 1
"""The package format this version writes and reads."""

_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_CountOrZero = Annotated[int, Meta(ge=0)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An immutable value that refuses fields it does not know and writes no defaults."""


class PackagedFile(_Strict, frozen=True):
    """One file of a package.

    Attributes:
        path: relative to the version's folder, with slashes.
        size_bytes: its size.
        sha256: its digest, 64 hex digits.
    """

    path: str
    size_bytes: _CountOrZero
    sha256: _Sha256


class PackagedTensor(_Strict, frozen=True, kw_only=True):
    """One input or output; the fields mean what they mean in ``model.yaml``.

    Attributes:
        name: its name.
        datatype: Open Inference datatype, such as FP32.
        shape: full shape, batch dimension included; -1: any size.
        optional: whether a request may leave it out.
        labels: class names of the last dimension.
        description: one line for people.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    labels: tuple[str, ...] = ()
    description: str = ""


class PackagedSignature(_Strict, frozen=True, kw_only=True):
    """What the model takes and gives.

    Attributes:
        inputs: its inputs.
        outputs: its outputs.
    """

    inputs: tuple[PackagedTensor, ...] = ()
    outputs: tuple[PackagedTensor, ...] = ()


class Requirements(_Strict, frozen=True, kw_only=True):
    """What must be installed where the model shall serve.

    Attributes:
        install: the command that brings what the runtime needs; "": nothing beyond Penstock.
        packages: the lines of the folder's ``requirements.txt``.
    """

    install: str = ""
    packages: tuple[str, ...] = ()


class Provenance(_Strict, frozen=True, kw_only=True):
    """Where the model came from; all of it is what the packer said.

    Attributes:
        git_commit: the commit of the repository the folder was in; "": in none.
        git_dirty: whether the folder held changes that commit does not have.
        metrics: results of the training, by name.
        data_fingerprint: of the training data, in the packer's own words.
        created: ``SOURCE_DATE_EPOCH`` as a date, UTC; "": none was given.
        created_by: the tool and its version.
    """

    git_commit: str = ""
    git_dirty: bool = False
    metrics: dict[str, float] = {}
    data_fingerprint: str = ""
    created: str = ""
    created_by: str = ""


class PackageManifest(_Strict, frozen=True, kw_only=True):
    """``penstock.json``, the first member of a package.

    Attributes:
        format: the package format.
        name: the model's name.
        version: the model's version.
        runtime: the runtime that runs it.
        entry: the artifact among the files, for Python ``file.py:Class``.
        content_sha256: digest of all files; equal for equal files, whatever else is said.
        files: every file, in the order in which they are stored.
        signature: inputs and outputs as the model told when it was packed; None: not asked.
        requirements: what must be installed.
        provenance: where it came from.
    """

    format: int
    name: str
    version: Annotated[int, Meta(ge=0, lt=10**18)]
    runtime: str
    entry: str
    content_sha256: _Sha256
    files: tuple[PackagedFile, ...]
    signature: PackagedSignature | None = None
    requirements: Requirements = Requirements()
    provenance: Provenance = Provenance()

    @property
    def id(self) -> ServableId:
        """The version this package is."""
        return ServableId(self.name, self.version)

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


class _Format(msgspec.Struct):
    format: int = 0


def stored_order(path: str) -> tuple[bool, bytes]:
    """The key that files are stored by: ``model.yaml`` first, so that it is read with the head."""
    return path != MANIFEST_NAME, path.encode("utf-8", "surrogatepass")


def content_digest(files: Iterable[PackagedFile]) -> str:
    """Digest of all files: SHA-256 of a line ``sha256 size path`` for each, in stored order."""
    lines = (f"{file.sha256} {file.size_bytes} {file.path}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def encode_manifest(manifest: PackageManifest) -> bytes:
    """The one written form: UTF-8 JSON, fields in their order, names of mappings sorted."""
    encoded = msgspec.json.encode(manifest, order="deterministic")
    return msgspec.json.format(encoded, indent=1) + b"\n"


def decode_manifest(content: bytes, source: str) -> PackageManifest:
    """Read a manifest.

    Law: ``encode_manifest(decode_manifest(content, ...)) == content``: there is no second way to
    write one, and every path in it is safe (``refuse_paths``).

    Args:
        content: the member's bytes.
        source: what an error calls the package.

    Raises:
        LoadFailed: another format, or not what ``encode_manifest`` writes.
    """
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found != FORMAT:
            raise LoadFailed(
                f"{source}: package format {found}, this version of Penstock reads {FORMAT}: "
                "pack the model again, or serve it with the version that packed it"
            )
        manifest = msgspec.json.decode(content, type=PackageManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise LoadFailed(f"{source}: manifest: {err}") from err
    why = _broken(manifest)
    if why is None and encode_manifest(manifest) != content:
        why = "not in the form that 'penstock pack' writes"
    if why is not None:
        raise LoadFailed(f"{source}: manifest: {why}")
    return manifest


def _broken(manifest: PackageManifest) -> str | None:
    """What types cannot say of a manifest."""
    paths = [file.path for file in manifest.files]
    why = refuse_paths(paths)
    if why is not None:
        return why
    if paths != sorted(paths, key=stored_order):
        return "its files are not in order"
    if not is_model_name(manifest.name):
        return f"{manifest.name!r} cannot be a model's name"
    if content_digest(manifest.files) != manifest.content_sha256:
        return "content_sha256 is not the digest of its files"
    return None
