"""Results as files: JSON with everything, a markdown table, a picture."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks.places import BENCHMARKS, RESULTS, venv_python, without_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.3f}"


def cell(figure: dict | None) -> str:
    """Return "median (min to max)" of a spread, "-" for None."""
    if figure is None:
        return "-"
    if figure["rounds"] == 1:
        return _number(figure["median"])
    low, high = _number(figure["min"]), _number(figure["max"])
    return f"{_number(figure['median'])} ({low} to {high})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table; a text stands in a cell as it is."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def heading(document: dict) -> str:
    """Return the title and the paragraph that says where and how a result was measured."""
    machine = document["machine"]
    return (
        f"# {document['name']}\n\n"
        f"{document['date']}, commit {document['commit'] or 'none'}; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
        f"{document['how']}. Figures are median (min to max). Server and load generator share the "
        "machine: compare within this page only.\n"
    )


def write_result(
    document: dict,
    to_markdown: Callable[[dict], str],
    picture: str | None = "picture.py",
    folder: Path = RESULTS,
) -> Path:
    """Write NAME.json and NAME.md into `folder`, draw NAME.svg where its environment exists.

    Returns the path of the JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['name']}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(to_markdown(document))
    if picture is not None:
        _draw(path, picture)
    print(f"wrote {without_root(str(path))}", flush=True)
    return path


def _draw(path: Path, picture: str) -> None:
    try:
        python = venv_python("bench")
    except FileNotFoundError as error:
        print(f"no picture: {error}")
        return
    command = [str(python), str(BENCHMARKS / picture), str(path)]
    command.append(str(path.with_suffix(".svg")))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        print(f"no picture: {done.stderr.strip()[-300:]}")
