"""Following a rollout: what is shown when, and what is borne with."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import msgspec
import pytest
from rich.console import Console

from penstock.app.cli.rollout_bars import interval_bar, sparkline, weight_bar
from penstock.app.cli.rollout_view import phase_line
from penstock.app.cli.rollout_watch import PlainLines, Screen, follow
from penstock.core.errors import NotReady, PenstockError
from penstock.evidence.verdict import Verdict
from penstock.rollout.state import Phase, Transition
from penstock.server.control_api.answers import RolloutAnswer, VariantAnswer
from tests.unit.app.test_rollout_command import BACK, CANARY, DONE, GATE

PASSING = msgspec.structs.replace(
    CANARY, gates=(msgspec.structs.replace(GATE, verdict=Verdict.PASS, needed=None),)
)


def asking(*answers: RolloutAnswer | PenstockError) -> Callable[[], RolloutAnswer]:
    """One answer after the other."""
    script: Iterator[RolloutAnswer | PenstockError] = iter(answers)

    def ask() -> RolloutAnswer:
        answer = next(script)
        if isinstance(answer, PenstockError):
            raise answer
        return answer

    return ask


def test_it_asks_until_the_end() -> None:
    shown: list[RolloutAnswer] = []
    slept: list[float] = []
    end = follow(asking(CANARY, PASSING, DONE), shown.append, slept.append)
    assert (end, shown) == (DONE, [CANARY, PASSING, DONE])
    assert slept == [1.0, 1.0]


def test_a_server_that_is_started_again_is_waited_for() -> None:
    gone = NotReady("nobody answers")
    silences = [gone] * 60
    answers = (CANARY, *silences, CANARY, *silences, DONE)
    assert follow(asking(*answers), lambda answer: None, lambda s: None) == DONE
    with pytest.raises(NotReady, match="nobody"):
        follow(asking(*silences, gone), lambda answer: None, lambda s: None)


def test_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    for answer in (CANARY, CANARY, PASSING, DONE):
        lines.show(answer)
    out = capsys.readouterr().out.splitlines()
    assert [line.split("  ", 1)[1] for line in out] == [
        "draft  ann: from version 1 to 2",
        "canary 5 %  controller: it is ready",
        "canary 5 %: error_rate <= +0.5 points: need more data with 400 samples, about 1,300 more "
        "needed",
        "canary 5 %: error_rate <= +0.5 points: pass with 400 samples",
        "done  controller: all gates pass",
    ]


def drawn(screen: Screen, answer: RolloutAnswer, now_s: float) -> str:
    file = io.StringIO()
    Console(file=file, width=200).print(*screen.draw(answer, now_s), sep="\n")
    return file.getvalue()


def counted(requests: int) -> RolloutAnswer:
    variants = {"stable": VariantAnswer(1, 95, requests)}
    return msgspec.structs.replace(
        CANARY, seen=msgspec.structs.replace(CANARY.seen, variants=variants)
    )


def test_the_screen_shows_how_the_traffic_goes() -> None:
    screen = Screen(is_ascii=True)
    assert "requests per second" not in drawn(screen, counted(1000), 10.0)
    assert "@ 50 requests per second" in drawn(screen, counted(1100), 12.0)
    assert "+@ 100 requests per second" in drawn(screen, counted(1300), 14.0)
    other = msgspec.structs.replace(
        counted(5), seen=msgspec.structs.replace(CANARY.seen, stage="digits-1/canary/1")
    )
    assert "+@ 100 requests per second" in drawn(screen, other, 16.0)  # counting began anew


def test_the_screen_has_no_other_letters_where_there_are_none() -> None:
    for answer in (CANARY, DONE, BACK):
        assert drawn(Screen(is_ascii=True), answer, 10.0).isascii()


@pytest.mark.parametrize(("answer", "signs"), [(CANARY, "xo..."), (DONE, "xxxxx"), (BACK, "xo...")])
def test_phases(answer: RolloutAnswer, signs: str) -> None:
    text = phase_line(answer, is_ascii=True).plain
    assert "".join(part.strip()[0] for part in text.split("   ") if part.strip()) == signs


def test_a_rollout_that_failed_before_it_came_anywhere() -> None:
    history = (Transition(1, "draft", "ann", "x"), Transition(2, "failed", "controller", "y"))
    failed = msgspec.structs.replace(BACK, phase=Phase.FAILED, history=history)
    assert phase_line(failed, is_ascii=True).plain.startswith(". warm")


def test_weight_bar_shows_what_is_little() -> None:
    bars = {weight: weight_bar(weight, is_ascii=True).plain[:40] for weight in (0, 1, 50, 99, 100)}
    assert {weight: bar.count("#") for weight, bar in bars.items()} == {
        0: 0,
        1: 1,
        50: 20,
        99: 39,
        100: 40,
    }


@pytest.mark.parametrize(
    ("low", "high", "bar"),
    [
        (-1.0, 1.0, "==========|=========="),
        (0.5, 1.0, "          |    ======"),
        (-1.0, -0.5, "======    |          "),
        (0.0, 0.0, "          |          "),
    ],
)
def test_interval_bar(low: float, high: float, bar: str) -> None:
    assert interval_bar(low, high, 0.0, is_ascii=True) == bar


def test_no_interval() -> None:
    assert interval_bar(None, 1.0, 0.0) == interval_bar(0.0, 1.0, None) == ""


def test_sparkline() -> None:
    assert sparkline([0, 50, 100]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
