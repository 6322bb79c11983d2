"""Two rollouts under load, one that is promoted and one that is rolled back: ``make demo-rollout``.

Needs a plain install of Penstock with the extra ``onnx``. Exits with 0 if both ended as they
should, and no request failed but those that the broken version itself could not answer.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

import penstock
from examples.digits.server import serving
from examples.rollouts.load import Load

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "models" / "digits"
HELD_OUT = HERE.parent / "digits" / "held_out.npz"
SERVED = "version_policy: all\nlabels: {stable: 1, canary: 2}\n"
"""What ``models/digits`` serves; here it is version 1 alone."""


def main() -> int:
    """Run the demo; returns the exit status."""
    console, started_s = Console(highlight=False, soft_wrap=True), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        repository = _repository(Path(folder))
        with serving([repository], ["digits"], ["--workers", "2"]) as (url, _):
            console.print(f"two processes serve version 1 of digits on {url}; 600 users ask\n")
            client = penstock.RolloutClient(url, actor="demo")
            with Load(url, HELD_OUT) as load:
                better = _roll_out(console, client, load, "better.yaml", "the better model")
                broken = _roll_out(console, client, load, "broken.yaml", "a broken one")
    console.print(f"done in {time.monotonic() - started_s:.0f} s")
    return 0 if better == "done" and broken == "rolled back" else 1


def _repository(folder: Path) -> Path:
    """A copy of the digits with a third version, of which the first one is served."""
    model = folder / "digits"
    shutil.copytree(DIGITS, model)
    shutil.copytree(HERE / "models", model, dirs_exist_ok=True)
    manifest = (model / "model.yaml").read_text()
    served = manifest.replace(SERVED, "version_policy: {specific: [1]}\n")
    (model / "model.yaml").write_text(served)
    return folder


def _roll_out(
    console: Console, client: penstock.RolloutClient, load: Load, plan: str, what: str
) -> str:
    """Run one rollout to its end, telling each step; how it ended, "failed" for lost requests."""
    load.take()
    started_ms = time.time() * 1e3
    rollout = client.start(HERE / plan)
    console.print(f"[bold]{what}: version {rollout.candidate} in place of {rollout.reference}[/]")
    for note in rollout.notes:
        if ": about " in note:
            console.print(f"  expected of {note.partition(' (')[0]}")
    told = 0
    for rollout in client.watch("digits", every_s=0.2):
        for step in rollout.history[told:]:
            at_s = max(0.0, step.at_ms - started_ms) / 1e3
            by_gate = step.why.partition(":")[0] if step.to == "rolled back" else step.why
            console.print(f"{at_s:6.1f} s  [bold]{step.to:<12}[/] {step.who}: {by_gate}")
            for gate in step.gates:
                console.print(f"{'':22}{gate.verdict}: {gate.message}")
        told = len(rollout.history)
        if rollout.is_paused:
            break  # too few requests in time: it waits for a person
    time.sleep(1.0)  # requests go on after the end
    tally = load.take()
    answered = ", ".join(f"{n:,} by version {v}" for v, n in sorted(tally.answered.items()))
    own = ", ".join(f"{n:,} by version {v}" for v, n in sorted(tally.own_errors.items())) or "0"
    console.print(f"  answered: {answered}; the model's own errors: {own}")
    console.print(f"  failed by the rollout: {tally.failed.total()}", *tally.failed, sep="\n")
    if rollout.phase == "done":
        console.print(f"  users who met version {rollout.reference} again: {tally.sent_back}")
    console.print()
    return "failed" if tally.failed else str(rollout.phase)


if __name__ == "__main__":
    sys.exit(main())
