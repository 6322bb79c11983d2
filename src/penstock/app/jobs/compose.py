"""From a job's specification to what the engine works with: source, model, transform, sink."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.app.jobs.load_apart import load_apart
from penstock.app.jobs.predictors import open_predictors
from penstock.core.errors import ConfigError, JobFailed, JobInputError
from penstock.core.signature import ModelSignature
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.output_columns import OutputColumns
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.sink import BatchSink
from penstock.jobs.batch.source import BatchSource
from penstock.jobs.batch.spec import BatchSpec, spec_digest
from penstock.jobs.batch.spec_inputs import FileInput
from penstock.jobs.batch.spec_outputs import FileOutput
from penstock.jobs.batch.spec_tables import RedisOutput, SqlOutput
from penstock.jobs.batch.transform import open_transform
from penstock.jobs.predictor import ModelIdentity, Predictors
from penstock.stores.store_url import without_password

if TYPE_CHECKING:
    import pyarrow as pa

    from penstock.app.settings import Settings

_STATE_IN_OUTPUT = "_job"
_STATE_FOLDER = Path(".penstock-jobs")


def open_parts(
    spec: BatchSpec, settings: Settings | None = None, stop: threading.Event | None = None
) -> JobParts:
    """Open a job. Its model is loaded, which tells the columns that it takes: with the engine
    ``processes`` in one of them, so that a model that ends its process does not end this one.

    Args:
        spec: the job.
        settings: of its model, see ``open_predictors``.
        stop: ends the wait for another process; None: nothing does.

    Raises:
        ConfigError: the job does not fit itself, its model or its input; a package is missing.
        JobInputError, JobOutputError: the input or the output cannot be reached.
        LoadFailed, NotReady, NotFound: the model cannot be had.
        Cancelled: it was stopped.

    Concurrency: blocks; any thread but an event loop's.
    """
    if spec.engine == "processes":
        return _open(spec, lambda: load_apart(spec.model, settings, stop))
    return _open(spec, lambda: open_predictors(spec.model, settings))


def _open(spec: BatchSpec, open_model: Callable[[], Predictors]) -> JobParts:
    """See ``open_parts``."""
    with contextlib.ExitStack() as stack:
        transform = open_transform(spec.transform)
        stack.callback(transform.close)
        source = open_source(spec)
        stack.callback(source.close)
        sink = open_sink(spec)
        stack.callback(sink.close)
        predictors = open_model()
        stack.callback(predictors.close)
        signature = predictors.signature
        columns = ColumnMap.resolve(signature, spec.columns)
        parts = JobParts(
            source=source if transform.digest else _narrowed(source, columns, spec),
            sink=sink,
            predictors=predictors,
            columns=columns,
            open_outputs=functools.partial(_outputs, signature, spec),
            spec_digest=spec_digest(spec, transform.digest),
            state=state_folder(spec),
            transform=transform,
        )
        stack.pop_all()
    return parts


def _narrowed(source: BatchSource, columns: ColumnMap, spec: BatchSpec) -> BatchSource:
    """The source, of which only those columns are read that are predicted from or kept."""
    wanted = {*columns.columns, *spec.keep}
    with contextlib.suppress(JobInputError):  # said where the input is read
        if wanted and wanted <= {*source.schema().names}:
            return source.only(wanted)
    return source


def open_again(spec: BatchSpec, model: ModelIdentity, digest: str) -> JobParts:
    """Open a job in another process, or on another machine, where it has to be the same one.

    Args:
        spec: the job.
        model: which model answers there, where it was opened first.
        digest: of the job, there.

    Raises:
        JobFailed: here it is another one.
        PenstockError: see ``open_parts``.
    """
    parts = _open(spec, lambda: open_predictors(spec.model.pinned(model)))
    found = parts.predictors.identity
    if found == model and parts.spec_digest == digest:
        return parts
    parts.close()
    what = "code of its transform" if found == model else f"model '{model.name}'"
    raise JobFailed(
        f"job '{spec.name}': a worker found another {what} than the job was begun with: every "
        f"machine has to have the same files, and they must not change while it runs"
    )


def open_source(spec: BatchSpec) -> BatchSource:
    """What the job reads.

    Raises:
        ConfigError, JobInputError: it cannot be read so, or not be reached.
    """
    if isinstance(spec.input, FileInput):
        from penstock.jobs.batch.sources.open_files import open_file_source

        return open_file_source(spec.input, spec.split_rows)
    from penstock.jobs.batch.sources.open_tables import open_table_source

    return open_table_source(spec.input, spec.split_rows, state_folder(spec))


def open_sink(spec: BatchSpec) -> BatchSink:
    """Where the job writes.

    Raises:
        ConfigError, JobOutputError: it cannot be written so, or not be reached.
    """
    if isinstance(spec.output, FileOutput):
        from penstock.jobs.batch.sinks.file_sink import open_file_sink

        return open_file_sink(spec.output)
    from penstock.jobs.batch.sinks.open_tables import open_table_sink

    return open_table_sink(spec.output)


def state_folder(spec: BatchSpec) -> Path:
    """Where the job keeps what it has done."""
    if spec.state is not None:
        return Path(spec.state)
    if isinstance(spec.output, FileOutput):
        path = spec.output.path.removeprefix("file://")
        if "://" not in path:
            return Path(path) / _STATE_IN_OUTPUT
    return _STATE_FOLDER / _folder_name(spec.name)


def place_of(spec: BatchSpec) -> str:
    """Where the job writes, for people: without a password."""
    output = spec.output
    if isinstance(output, SqlOutput | RedisOutput):
        return without_password(output.url)
    return output.path


def _folder_name(name: str) -> str:
    """A job's name as the name of a folder.

    Raises:
        ConfigError: it cannot be one.
    """
    if name in (".", "..") or "/" in name:
        raise ConfigError(
            f"name: '{name}' cannot be the name of a folder: rename it, or say 'state'"
        )
    return name


def _outputs(signature: ModelSignature, spec: BatchSpec, schema: pa.Schema) -> OutputColumns:
    return OutputColumns.resolve(signature, schema, spec.keep, spec.rename, spec.binary)
