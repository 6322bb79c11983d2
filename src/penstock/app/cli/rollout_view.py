"""What ``penstock rollout`` shows: where a rollout stands, its numbers, its history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from penstock.app.cli.model_tables import plain_table
from penstock.app.cli.rollout_bars import interval_bar, weight_bar
from penstock.evidence.verdict import Verdict
from penstock.rollout.need import StageNeed
from penstock.rollout.plan import stage_of, stages, title
from penstock.rollout.sentences import about, duration, percent
from penstock.rollout.state import GateResult, Phase, Transition
from penstock.server.control_api.answers import RolloutAnswer

_VERDICTS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.NEED_MORE_DATA: "yellow"}
_PHASES = {
    Phase.DONE: "green",
    Phase.ROLLED_BACK: "red",
    Phase.FAILED: "red",
}


def status_page(answer: RolloutAnswer, now_ms: int, *, is_ascii: bool = False) -> list[Any]:
    """Everything that is known of a rollout now, in order.

    Args:
        answer: the server's.
        now_ms: the time, in milliseconds since 1970.
        is_ascii: whether nothing else can be shown.
    """
    lines: list[Any] = [headline(answer, now_ms), phase_line(answer, is_ascii=is_ascii)]
    if not answer.is_over:
        lines.append(weight_bar(answer.weight, is_ascii=is_ascii))
    if answer.seen.stage:
        lines += ["", variants_table(answer)]
    if answer.seen.shadow is not None:
        lines.append(_shadow_line(answer))
    if answer.gates:
        lines += ["", gates_table(answer.gates, is_ascii=is_ascii)]
        lines += [Text(f"  {gate.gate}: {gate.message}") for gate in answer.gates]
    lines += ["", Text(answer.explanation)]
    lines += [Text(f"note: {note}") for note in answer.notes]
    return lines


def headline(answer: RolloutAnswer, now_ms: int) -> Text:
    """Model, versions, stage, and for how long."""
    text = Text(f"{answer.model}: version {_known(answer.reference)} to {answer.candidate}   ")
    stage_name = title(answer.spec, answer.phase, answer.step)
    text.append(stage_name, _PHASES.get(answer.phase, "bold"))
    if answer.is_paused:
        text.append(" (paused)", "yellow")
    lasts_s = max(0, now_ms - answer.entered_ms) / 1000
    if answer.is_over:
        return text.append(f"   {duration(lasts_s)} ago")
    stage = stage_of(answer.spec, answer.phase, answer.step)
    text.append(f"   for {duration(lasts_s)}")
    if stage is not None:
        text.append(
            f" of {duration(stage.min_time_s)} at least, {duration(stage.timeout_s)} at most"
        )
    return text


def phase_line(answer: RolloutAnswer, *, is_ascii: bool = False) -> Text:
    """Every stage of the plan, what is over, where it is."""
    places = [(Phase.WARM, 0), *stages(answer.spec), (Phase.DONE, 0)]
    here = (answer.phase, answer.step)
    at = places.index(here) if here in places else _reached(answer, places)
    over, now, ahead = ("x", "o", ".") if is_ascii else ("●", "◉", "○")
    line = Text()
    for place, (phase, step) in enumerate(places):
        is_over = place < at or answer.phase is Phase.DONE
        sign, style = (
            (over, "green") if is_over else (now, "bold") if place == at else (ahead, "dim")
        )
        if place == at and answer.phase in (Phase.ROLLED_BACK, Phase.FAILED):
            style = "red"
        line.append(f"{sign} {title(answer.spec, phase, step)}   ", style)
    return line


def _reached(answer: RolloutAnswer, places: Sequence[tuple[Phase, int]]) -> int:
    """The place of the last stage that a rollout which was turned back came to."""
    titles = [title(answer.spec, *place) for place in places]
    been = [titles.index(line.to) for line in answer.history if line.to in titles]
    return been[-1] if been else -1


def variants_table(answer: RolloutAnswer) -> Table:
    """What was counted of each version in this stage."""
    table = plain_table("variant", "version", "share", "requests", "failed", "p50 ms", "p99 ms")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, seen in answer.seen.variants.items():
        failed = percent(seen.errors / seen.requests) if seen.requests else "-"
        table.add_row(
            Text(name),
            _known(seen.version),
            f"{seen.weight:g} %",
            f"{seen.requests:,}",
            f"{seen.errors:,} ({failed})" if seen.errors else "0",
            _ms(seen.p50_ms),
            _ms(seen.p99_ms),
        )
    return table


def _shadow_line(answer: RolloutAnswer) -> Text:
    shadow = answer.seen.shadow
    if shadow is None or not shadow.pairs:
        return Text("shadow: nothing was compared yet")
    return Text(
        f"shadow: {percent(shadow.agreed / shadow.pairs)} of {shadow.pairs:,} answers agree "
        f"({shadow.comparison}), {shadow.errors:,} failed, {shadow.shed:,} copies were left out"
    )


def gates_table(gates: Sequence[GateResult], *, is_ascii: bool = False) -> Table:
    """What each gate says: its interval, where its bound lies, about how many more it needs."""
    table = plain_table("gate", "says", "from", "to", "bound", "", "samples", "needs about")
    for column in table.columns[2:5]:
        column.justify = "right"
    for column in table.columns[6:]:
        column.justify = "right"
    for gate in gates:
        table.add_row(
            Text(gate.gate),
            Text(gate.verdict, _VERDICTS[gate.verdict]),
            _number(gate.low),
            _number(gate.high),
            _number(gate.bound),
            interval_bar(gate.low, gate.high, gate.bound, is_ascii=is_ascii),
            f"{gate.samples:,}",
            "-" if gate.needed is None else f"{about(gate.needed)} more",
        )
    return table


def needs_table(needs: Sequence[StageNeed], rps: float | None = None) -> Table:
    """About how many requests each stage takes, and with so many per second how long."""
    time = ["time"] if rps else []
    table = plain_table("stage", "of the candidate", "requests", *time, "because of", "if")
    for column in table.columns[1 : 3 + len(time)]:
        column.justify = "right"
    for need in needs:
        lasts = [duration(max(need.requests / rps, need.min_time_s))] if rps else []
        table.add_row(
            need.title,
            about(need.samples),
            about(need.requests),
            *lasts,
            Text(need.gate or "min_samples"),
            Text(need.assuming),
        )
    return table


def list_table(answers: Sequence[RolloutAnswer]) -> Table:
    """The last rollout of each model."""
    table = plain_table("model", "from", "to", "stage", "share", "since")
    for answer in answers:
        stage = Text(answer.stage, _PHASES.get(answer.phase, ""))
        since = _time(answer.entered_ms)
        versions = _known(answer.reference), str(answer.candidate)
        table.add_row(Text(answer.model), *versions, stage, f"{answer.weight:g} %", since)
    return table


def history_lines(lines: Sequence[Transition], *, with_gates: bool = False) -> list[Any]:
    """Every change, with who, why and, where asked for, what the gates said."""
    found: list[Any] = []
    for line in lines:
        text = Text(f"{_time(line.at_ms)}  ")
        text.append(line.to, "bold").append(f"  {line.who}: {line.why}")
        found.append(text)
        if with_gates:
            found += [Text(f"    {gate.verdict}: {gate.message}") for gate in line.gates]
    return found


def _time(at_ms: int) -> str:
    """A moment in local time."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _known(version: int | None) -> str:
    return "-" if version is None else str(version)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
