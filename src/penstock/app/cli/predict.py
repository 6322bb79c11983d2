"""``penstock predict``: one prediction from the shell."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    TimeoutOption,
    UrlOption,
    VersionOption,
    json_text,
    print_json,
    print_lines,
    say,
)

_TIMEOUT_S = 60.0


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    input_file: Annotated[
        str,
        typer.Option(
            "--input", "-i", metavar="FILE", help="JSON, CSV, Parquet, or a file as it is; - stdin."
        ),
    ],
    version: VersionOption = "",
    tensor: Annotated[
        str,
        typer.Option(
            help="The BYTES input that a file as it is goes to; without: the first.",
            show_default=False,
        ),
    ] = "",
    input_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="json, csv, tsv, parquet or binary; without: by the file's name.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the whole answer there, as JSON.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Ask a running server for one prediction.

    JSON is a V2 request, an object {"input": value} (one row, or columns), or a list of rows.

    CSV and Parquet have a column per input, or, for one table-like input, a column per feature.

    Any other file, such as an image, goes to a BYTES input as it is.
    """
    from penstock.app.cli import infer_call
    from penstock.app.cli import input_file as files
    from penstock.app.cli.server_client import ServerClient

    read = files.read_input(input_file, input_format)
    client = ServerClient(url, timeout_s)
    answer = infer_call.infer(client, model, version, read, tensor)
    whole = infer_call.answer_json(answer)
    told = f"{answer.model} version {answer.version}, {answer.took_s * 1000:.1f} ms"
    if output is not None:
        _write(output, json_text(whole))
    if as_json:
        print_json(whole)
    elif output is None:
        from penstock.app.cli.output_table import output_table

        print_lines(*output_table(answer))
        say(told)
    else:
        say(f"{told}, written to {output}")


def _write(path: str, text: str) -> None:
    from pathlib import Path

    from penstock.core.errors import ConfigError

    try:
        Path(path).write_text(text + "\n", "utf-8")
    except OSError as err:
        raise ConfigError(f"--output {path}: {(err.strerror or str(err)).lower()}") from err
