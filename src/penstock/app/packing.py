"""Pack a folder: see what is in it, load it as a server would, and write the package."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock import __version__
from penstock.app.provenance import git_state, read_metrics, source_date
from penstock.core.errors import ConfigError, FailedPrecondition, LoadFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.repository.artifact import ArtifactRef
from penstock.repository.layout import is_model_name
from penstock.repository.manifest import Manifest
from penstock.repository.package_folder import PackedFolder, look_at_version
from penstock.repository.package_manifest import (
    FORMAT,
    PackagedSignature,
    PackagedTensor,
    PackageManifest,
    Provenance,
    Requirements,
    content_digest,
)
from penstock.repository.package_seal import read_signing_key
from penstock.repository.package_write import list_files, write_package
from penstock.runtime.runtime import RUNTIMES

_REQUIREMENTS = "requirements.txt"


class PackOptions(msgspec.Struct, frozen=True):
    """What a packer says beyond the folder.

    Attributes:
        name: the model's name; "": from the folder's.
        version: its version; None: from the folder's name, else 1.
        metrics: training results, which win over those in ``metrics.json``.
        data_fingerprint: of the training data, in the packer's own words.
        sign_key: file of the Ed25519 private key to sign with; None: it is not signed.
        check: whether to load the model, which proves that it serves and tells its signature.
    """

    name: str = ""
    version: int | None = None
    metrics: Mapping[str, float] = {}
    data_fingerprint: str = ""
    sign_key: Path | None = None
    check: bool = True


def pack(folder: Path, target: Path | None, options: PackOptions) -> Path:
    """Make a package of one version's folder.

    Law: byte-identical for the same files, words and key, in the same commit, by the same
    version of Penstock.

    Args:
        folder: the version's folder, or a model's with the artifact directly in it.
        target: the package to write; None: ``NAME-VERSION.pst`` in the working directory.
        options: what else to say.

    Returns:
        The package.

    Raises:
        ConfigError: the folder, a name or a key is wrong.
        LoadFailed: the model does not load, or a file cannot be packed.

    Concurrency: blocks; not on an event loop's thread.
    """
    if options.sign_key is not None:
        read_signing_key(options.sign_key)  # a wrong one is told before the model is loaded
    packed = look_at_version(folder)
    id_ = ServableId(
        options.name or packed.id.name,
        packed.id.version if options.version is None else options.version,
    )
    if not is_model_name(id_.name):
        raise ConfigError(f"{id_.name!r} cannot be a model's name: use letters, digits, _ . -")
    target = target or Path(f"{id_.name}-{id_.version}.pst")
    if target.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{target}: lies in the folder that is packed; write it elsewhere (-o)")
    try:
        manifest = _manifest(folder, packed, id_, options)
        if options.check:
            with tempfile.TemporaryDirectory(prefix=".pack-", dir=target.absolute().parent) as at:
                signature = _load(packed, id_, Path(at), manifest.num_bytes)
            manifest = msgspec.structs.replace(manifest, signature=signature)
        write_package(target, manifest, packed.sources, options.sign_key)
    except OSError as err:
        place = f" '{err.filename}'" if err.filename else ""
        raise LoadFailed(f"{folder}: cannot be packed:{place} {err.strerror or err}") from err
    return target


def _manifest(
    folder: Path, packed: PackedFolder, id_: ServableId, options: PackOptions
) -> PackageManifest:
    """Everything but the signature."""
    files = list_files(packed.sources)
    commit, is_dirty = git_state(folder)
    artifact = packed.artifact
    return PackageManifest(
        format=FORMAT,
        name=id_.name,
        version=id_.version,
        runtime=artifact.runtime,
        entry=f"{artifact.path}:{artifact.class_name}" if artifact.class_name else artifact.path,
        content_sha256=content_digest(files),
        files=files,
        requirements=_requirements(packed),
        provenance=Provenance(
            git_commit=commit,
            git_dirty=is_dirty,
            metrics={**read_metrics(packed.sources), **options.metrics},
            data_fingerprint=options.data_fingerprint,
            created=source_date(os.environ),
            created_by=f"penstock {__version__}",
        ),
    )


def _requirements(packed: PackedFolder) -> Requirements:
    entry = RUNTIMES.get(packed.artifact.runtime)
    lines: list[str] = []
    if _REQUIREMENTS in packed.sources:
        try:
            lines = packed.sources[_REQUIREMENTS].read_text().splitlines()
        except UnicodeDecodeError as err:
            raise ConfigError(f"{_REQUIREMENTS}: expected UTF-8 text: {err}") from err
    wanted = (line.strip() for line in lines)
    packages = tuple(line for line in wanted if line and not line.startswith("#"))
    return Requirements(install=entry.install if entry else "", packages=packages)


def _load(packed: PackedFolder, id_: ServableId, place: Path, num_bytes: int) -> PackagedSignature:
    """Load and warm up what is packed, and nothing that only lies beside it.

    Raises:
        LoadFailed: it does not load.
        OSError: the files cannot be laid out in ``place``.
    """
    root = place / "model"
    for path, source in packed.sources.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, root / path)
    artifact = ArtifactRef(
        id=id_,
        path=root / packed.artifact.path,
        root=root,
        runtime=packed.artifact.runtime,
        class_name=packed.artifact.class_name,
        manifest=_in_this_process(packed.manifest),
        num_bytes=num_bytes,
        revision="",
    )
    try:
        signature = asyncio.run(_signature(artifact))
    except PenstockError as err:
        raise LoadFailed(
            f"{id_.says(err.message)}; a package should hold a model that loads: "
            "mend it, or pack without loading (--no-check)"
        ) from err
    return PackagedSignature(
        inputs=tuple(map(_field, signature.inputs)), outputs=tuple(map(_field, signature.outputs))
    )


def _in_this_process(manifest: Manifest) -> Manifest:
    """The manifest for one copy that is loaded here: a look needs no workers."""
    instances = msgspec.structs.replace(manifest.instances, kind="thread", count=1)
    return msgspec.structs.replace(manifest, instances=instances)


async def _signature(artifact: ArtifactRef) -> ModelSignature:
    from penstock.app.model_loader import ModelLoader
    from penstock.runtime.blocking_client import BlockingClient
    from penstock.telemetry.registry import StatsRegistry

    client = BlockingClient(_Nobody(), asyncio.get_running_loop())
    loader = ModelLoader(artifact, client=client, stats=StatsRegistry())
    scheduler = await loader.load()
    signature = scheduler.info.signature
    await loader.unload()
    return signature


class _Nobody:
    """An InferenceClient where no other model is."""

    async def infer(self, request: InferRequest) -> InferResponse:
        raise FailedPrecondition(
            f"it calls the model '{request.model}', and no other model runs while one is packed"
        )


def _field(spec: TensorSpec) -> PackagedTensor:
    return PackagedTensor(
        name=spec.name,
        datatype=str(spec.dtype),
        shape=spec.shape,
        optional=spec.optional,
        labels=spec.labels,
        description=spec.description,
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """The same file at another place, for free where the file system can."""
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or somebody else's file
        shutil.copyfile(source, target)
