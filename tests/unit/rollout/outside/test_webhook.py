"""Webhooks: in order, again where it may help, given up where not, and nobody waits for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.core.errors import ConfigError, NotReady
from penstock.evidence.verdict import Verdict
from penstock.rollout.events import RolloutEvent, events_of, log_event
from penstock.rollout.feasibility import check
from penstock.rollout.moves import enter, note
from penstock.rollout.outside.http_call import HttpAnswer, HttpCall
from penstock.rollout.outside.webhook import WebhookOptions, WebhookSender
from penstock.rollout.spec import PrometheusGate, Webhook
from penstock.rollout.state import GateResult, Phase, RolloutState
from tests.unit.rollout.outside_server import OutsideServer, outside_server
from tests.unit.rollout.rollouts import START_MS, a_spec, a_state

AT_ONCE = WebhookOptions(initial_backoff_s=0.0, max_backoff_s=0.0)
GATE = GateResult("error_rate <= +0.5 points", Verdict.FAIL, "5 % fail", candidate=0.05)


def a_history() -> RolloutState:
    """A rollout that began, got to its first step and was rolled back."""
    state = note(a_state(Phase.DRAFT), to="draft", who="ann", why="try it", now_ms=START_MS)
    state = enter(state, Phase.CANARY, who="controller", why="it is warm", now_ms=START_MS + 1)
    why = "error_rate: 5 % fail"
    return enter(
        state, Phase.ROLLED_BACK, who="controller", why=why, now_ms=START_MS + 2, gates=(GATE,)
    )


EVENTS = events_of(a_history())


@pytest.fixture
def server() -> Iterator[OutsideServer]:
    with outside_server() as outside:
        yield outside


class Post:
    """Takes what is posted; what it answers is set by hand."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def __call__(self, asked: HttpCall) -> HttpAnswer:
        self.is_asked.set()
        await self.may_answer.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise NotReady("nobody answers there")
        assert asked.body is not None
        self.taken.append(f"{status} {json.loads(asked.body)['to']}")
        return HttpAnswer(status, b"")


def a_sender(post: Post, attempts: int = 5) -> WebhookSender:
    return WebhookSender(Webhook(url="http://hook", attempts=attempts), AT_ONCE, post)


async def sent(sender: WebhookSender) -> None:
    await asyncio.wait_for(sender.wait_idle(), 10)


def test_events_are_the_lines_of_the_history() -> None:
    assert [(event.before, event.to) for event in EVENTS] == [
        ("", "draft"),
        ("draft", "canary 5 %"),
        ("canary 5 %", "rolled back"),
    ]
    assert len({event.id for event in EVENTS}) == 3
    assert events_of(a_history(), EVENTS[0].id) == EVENTS[1:]
    assert events_of(a_history(), EVENTS[2].id) == []
    assert events_of(a_history(), "forgotten") == EVENTS


def test_two_changes_of_one_instant_are_two_events() -> None:
    state = note(a_state(Phase.BAKE), to="paused", who="ann", why="", now_ms=5)
    state = note(state, to="paused", who="ann", why="", now_ms=5)
    one, other = events_of(state)
    assert one.id != other.id
    assert events_of(state, one.id) == [other]


async def test_what_is_posted(server: OutsideServer) -> None:
    sender = WebhookSender(Webhook(url=f"{server.url}/hook"))
    sender.offer(EVENTS)
    await sent(sender)
    assert [asked.method for asked in server.asked] == ["POST"] * 3
    last = server.asked[-1]
    assert last.path == "/hook"
    assert last.headers["content-type"] == "application/json"
    assert last.headers["x-penstock-event"] == EVENTS[2].id
    body = json.loads(last.body)
    gates = body.pop("gates")
    assert (gates[0]["verdict"], gates[0]["candidate"]) == ("fail", 0.05)
    assert body == {
        "id": EVENTS[2].id,
        "model": "digits",
        "rollout": "digits-1",
        "candidate": 2,
        "reference": 1,
        "from": "canary 5 %",
        "to": "rolled back",
        "who": "controller",
        "why": "error_rate: 5 % fail",
        "at_ms": START_MS + 2,
    }


async def test_what_may_pass_is_tried_again_before_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    post = Post(0, 503, 429, 200)
    sender = a_sender(post)
    sender.offer(EVENTS)
    await sent(sender)
    assert post.taken == [
        "503 draft",
        "429 draft",
        "200 draft",
        "200 canary 5 %",
        "200 rolled back",
    ]
    assert (sender.done, sender.num_dropped) == (EVENTS[2].id, 0)
    assert caplog.records == []


async def test_what_fails_for_good_is_dropped_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    post = Post(503, 503, 404)
    sender = a_sender(post, attempts=2)
    sender.offer(EVENTS)
    await sent(sender)
    assert post.taken == ["503 draft", "503 draft", "404 canary 5 %", "200 rolled back"]
    assert (sender.done, sender.num_dropped) == (EVENTS[2].id, 2)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "the webhook was not told that the rollout of 'digits' is draft: HTTP status 503",
        "the webhook was not told that the rollout of 'digits' is canary 5 %: HTTP status 404",
    ]


async def test_a_webhook_that_hangs_holds_nobody_up(server: OutsideServer) -> None:
    server.may_answer.clear()
    webhook = Webhook(url=server.url, timeout_s=0.05, attempts=1)
    sender = WebhookSender(webhook, AT_ONCE)
    sender.offer(EVENTS[:1])  # returns
    await sent(sender)
    assert sender.num_dropped == 1


async def test_what_waits_is_bounded() -> None:
    post = Post()
    post.may_answer.clear()
    sender = a_sender(post)
    sender.offer(EVENTS[:1])
    await post.is_asked.wait()
    sender.offer(EVENTS[1:2] * 200)
    assert sender.num_dropped == 0
    sender.offer(EVENTS[2:])
    assert sender.num_dropped == 1
    post.may_answer.set()
    await sent(sender)
    assert post.taken[-1] == "200 rolled back"
    assert len(post.taken) == 1 + 199 + 1


async def test_closed_it_sends_no_more() -> None:
    post = Post()
    post.may_answer.clear()
    sender = a_sender(post)
    sender.offer(EVENTS)
    await post.is_asked.wait()
    await sender.close()
    post.may_answer.set()
    assert (post.taken, sender.done) == ([], "")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"webhook": Webhook(url="ftp://hook")}, r"\$\.webhook\.url"),
        ({"gates": (PrometheusGate(url="x", query="up", max=1),)}, r"\$\.gates\[0\]\.url"),
    ],
)
def test_a_plan_with_a_wrong_url_is_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError, match=rf"^rollout: {path}: expected a URL"):
        check(a_spec(**fields))


def test_a_url_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"webhook\.url"):
        WebhookSender(Webhook(url="ftp://hook"))


def test_an_event_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock.rollout")
    for event in EVENTS:
        log_event(event)
    last = caplog.records[-1]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING"]
    assert last.getMessage() == (
        "rollout of 'digits' to version 2: rolled back (controller): error_rate: 5 % fail"
    )
    fields = vars(last)
    assert (fields["model"], fields["from"], fields["to"]) == (
        "digits",
        "canary 5 %",
        "rolled back",
    )
    assert fields["gates"][0]["message"] == "5 % fail"


def test_the_field_is_called_from() -> None:
    assert "from" in RolloutEvent.__struct_encode_fields__
