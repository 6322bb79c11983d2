"""What a batch job holds in memory over a large input: peak RSS of its process tree."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.batch_data import FEATURES, make_tabular
from benchmarks.batch_watch import Watch
from benchmarks.models.make_trees import TARGET, make_trees
from benchmarks.places import PENSTOCK
from benchmarks.processes import ServerProcess
from benchmarks.report import heading, table, write_result

LIMIT_MIB = 1536.0
MEMORY = "512MiB"
_ROW_BYTES = 8 + 4 * FEATURES
_PART_GIB = 0.5
_ENGINES = ("local", "processes")
_WORKERS = 2


def measure_memory(gib: float, folder: Path, name: str) -> bool:
    """Run a job over `gib` GiB of rows in each engine, and write NAME_memory.json and .md.

    The input is `gib` GiB in files of half a GiB: the same file under many names, since only names
    and numbers of rows matter here. Returns whether all stayed below 1.5 GiB.
    """
    if not TARGET.exists():
        make_trees(TARGET)
    document = machine.heading_fields(f"{name}_memory", "batch")
    count = max(1, round(gib / _PART_GIB))
    _make_input(folder, count)
    found = {engine: _run(engine, folder) for engine in _ENGINES}
    document |= {
        "how": f"one run each, {count * _PART_GIB:g} GiB of rows, memory: {MEMORY}",
        "limit_mib": LIMIT_MIB,
        "engines": found,
    }
    write_result(document, _markdown, picture=None)
    return all(one["peak_rss_mib"] < LIMIT_MIB for one in found.values())


def _make_input(folder: Path, count: int) -> None:
    part, many = folder / "part", folder / "input"
    make_tabular(part, int(_PART_GIB * 1024**3) // _ROW_BYTES)
    many.mkdir()
    files = sorted(part.iterdir())
    for number in range(count):
        for file in files:
            os.link(file, many / f"{number:04d}-{file.name}")


def _run(engine: str, folder: Path) -> dict[str, float]:
    """Run the job as `penstock batch run`; ArmError when it fails."""
    job, output = folder / f"{engine}.json", folder / f"output-{engine}"
    fields = {
        "name": "memory",
        "input": {"format": "parquet", "path": f"{folder}/input/*.parquet"},
        "model": {"path": str(TARGET.parent.parent)},
        "columns": {"x": [f"f{at}" for at in range(FEATURES)]},
        "keep": ["id"],
        "output": {"format": "parquet", "path": str(output)},
        "memory": MEMORY,
        "engine": engine,
        "workers": _WORKERS,
    }
    job.write_text(json.dumps(fields))
    process = ServerProcess([str(PENSTOCK), "batch", "run", str(job)], folder / f"{engine}.log")
    with Watch(process) as watch:
        process.start()
        try:
            status = process.wait()
        finally:
            process.stop()
    if status != 0:
        raise ArmError(f"the job ended with {status}; its log ends:\n{process.log_tail()}")
    report = json.loads((output / "_job" / "report.json").read_text())
    rows = report["tally"]["rows_in"]
    figures = {
        "peak_rss_mib": watch.peak_rss_mib,
        "rows": rows,
        "gib": rows * _ROW_BYTES / 1024**3,
    }
    print(engine, figures, flush=True)
    return figures


def _markdown(document: dict) -> str:
    rows = [
        [
            f"{engine}, {_WORKERS} workers",
            f"{one['gib']:.2f}",
            f"{one['rows']:,}",
            f"{one['peak_rss_mib']:,.0f}",
        ]
        for engine, one in document["engines"].items()
    ]
    head = ["Engine", "Input, GiB", "Rows", "Peak RSS, MiB"]
    told = (
        f"Peak RSS is that of the whole tree, sampled four times a second; pages that processes "
        f"share count for each. It has to stay below {document['limit_mib']:,.0f} MiB.\n"
    )
    return "\n".join([heading(document), table(head, rows), "", told])
