"""The tweets of the archive, scored by the tweet model in a batch job: ``make demo-batch``.

The job is stopped after its first part, as if the machine had been taken away, and run again. Exits
with 0 if every tweet has one score.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.markdown import Markdown

import penstock
from penstock.jobs.batch.progress import Progress

JOB = Path(__file__).parent / "tweets.yaml"
SHOWN = 5


def main() -> int:
    """Run the demo; returns the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    out = Path(tempfile.mkdtemp(prefix="penstock-demo-")) / "scored"
    job = penstock.BatchJob.load(JOB, output={"format": "parquet", "path": str(out)})
    plan = job.plan()
    model = plan.model
    console.print(f"{plan.splits} splits to score with {model.name} version {model.version}\n")
    _stop_early(console, job)
    report = job.run()
    console.print(f"run again: {report.done_before} of them were done, the rest is done now\n")
    _show_report(console, out / "_job")
    _show_lowest(console, out)
    console.print(f"\nthe scores: {out}; the report: {out}/_job/report.md")
    tally = report.tally
    return 0 if tally.rows_in == tally.rows_out + tally.rows_dead and tally.rows_out > 0 else 1


def _stop_early(console: Console, job: penstock.BatchJob) -> None:
    """Run the job until its first part is there."""
    stop = threading.Event()

    def look(progress: Progress) -> None:
        if progress.splits_done:
            stop.set()

    try:
        job.run(on_progress=look, stop=stop)
    except penstock.PenstockError as err:
        console.print(f"[bold]stopped[/]: {err.message}")


def _show_report(console: Console, folder: Path) -> None:
    """The report, with the path of its picture, which a terminal does not show."""
    lines = (folder / "report.md").read_text().splitlines()
    console.print(Markdown("\n".join(line for line in lines if not line.startswith("!["))))
    picture = folder / "report.svg"
    if picture.exists():
        console.print(f"\nthe job in a picture: {picture}")


def _show_lowest(console: Console, out: Path) -> None:
    """The tweets that the model is surest to be negative."""
    table = pq.read_table(out, columns=["day", "author", "sentiment", "scores"])
    rows = sorted(table.to_pylist(), key=lambda row: row["scores"][0], reverse=True)
    console.print("\n[bold]the most negative[/]")
    for row in rows[:SHOWN]:
        console.print(f"  {row['scores'][0]:.3f}  {row['day']}  {row['author']}")


if __name__ == "__main__":
    sys.exit(main())
