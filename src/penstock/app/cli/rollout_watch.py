"""``penstock rollout watch``: follows a rollout until it ends."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from penstock.app.cli.rollout_bars import sparkline
from penstock.app.cli.rollout_view import history_lines, status_page
from penstock.core.errors import DeadlineExceeded, NotReady
from penstock.rollout.sentences import about
from penstock.server.control_api.answers import RolloutAnswer

Ask = Callable[[], RolloutAnswer]

_EVERY_S = 1.0
_PATIENCE_LOOKS = 60
_SHOWN_CHANGES = 6
_SHOWN_RATES = 40


def watch(ask: Ask, *, quiet: bool) -> RolloutAnswer:
    """Follow a rollout until it ends: live on a terminal, elsewhere a line for each change.

    A server that does not answer is asked again for a minute: it may be restarted.

    Args:
        ask: where the rollout stands now.
        quiet: show nothing.

    Returns:
        how it ended.
    """
    if quiet:
        return follow(ask, lambda answer: None)
    if sys.stdout.isatty():
        return _watch_live(ask)
    return follow(ask, PlainLines().show)


def follow(
    ask: Ask,
    show: Callable[[RolloutAnswer], None],
    sleep: Callable[[float], None] = time.sleep,
) -> RolloutAnswer:
    """Ask again and again, and show each answer, until the rollout has ended."""
    silent = 0
    while True:
        try:
            answer = ask()
            silent = 0
        except (NotReady, DeadlineExceeded):
            silent += 1
            if silent > _PATIENCE_LOOKS:
                raise
        else:
            show(answer)
            if answer.is_over:
                return answer
        sleep(_EVERY_S)


class PlainLines:
    """A line where something has changed: a stage, a pause, what a gate says."""

    def __init__(self) -> None:
        self._shown = 0
        self._last: object = None

    def show(self, answer: RolloutAnswer) -> None:
        """Print what is new."""
        from penstock.app.cli.options import print_lines

        now = (answer.id, answer.stage, answer.is_paused, [gate.verdict for gate in answer.gates])
        new = answer.history[self._shown :]
        if new:
            print_lines(*history_lines(new))
        if now != self._last and answer.gates and not answer.is_over:
            print(f"  {answer.stage}: {'; '.join(_gate_words(answer))}")
        sys.stdout.flush()
        self._shown, self._last = len(answer.history), now


def _gate_words(answer: RolloutAnswer) -> list[str]:
    return [
        f"{gate.gate}: {gate.verdict} with {gate.samples:,} samples"
        + ("" if gate.needed is None else f", about {about(gate.needed)} more needed")
        for gate in answer.gates
    ]


class Screen:
    """What the terminal shows: the status, how the traffic goes, the last changes.

    Args:
        is_ascii: whether nothing else can be shown.
    """

    def __init__(self, *, is_ascii: bool) -> None:
        self._is_ascii = is_ascii
        self._rates: deque[float] = deque(maxlen=_SHOWN_RATES)
        self._before: tuple[str, int, float] | None = None

    def draw(self, answer: RolloutAnswer, now_s: float) -> list[Any]:
        """Everything, from top to bottom."""
        self._count(answer, now_s)
        page = status_page(answer, int(now_s * 1000), is_ascii=self._is_ascii)
        rates = list(self._rates)
        if rates and not answer.is_over:
            picture = sparkline(rates, is_ascii=self._is_ascii)
            page.insert(3, f"{picture} {rates[-1]:,.3g} requests per second")
        return [*page, "", *history_lines(answer.history[-_SHOWN_CHANGES:])]

    def _count(self, answer: RolloutAnswer, now_s: float) -> None:
        total = sum(seen.requests for seen in answer.seen.variants.values())
        stage, before, then_s = self._before or ("", 0, now_s)
        if stage == answer.seen.stage and now_s > then_s:
            self._rates.append(max(0, total - before) / (now_s - then_s))
        self._before = (answer.seen.stage, total, now_s)


def _watch_live(ask: Ask) -> RolloutAnswer:
    from rich.console import Group
    from rich.live import Live

    from penstock.app.cli.options import console

    target = console()
    screen = Screen(is_ascii=target.options.ascii_only)
    with Live(console=target, auto_refresh=False) as live:

        def show(answer: RolloutAnswer) -> None:
            live.update(Group(*screen.draw(answer, time.time())), refresh=True)

        return follow(ask, show)
