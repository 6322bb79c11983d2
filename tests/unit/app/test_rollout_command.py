"""``penstock rollout``: what is asked of the server, what is printed, exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.app.cli.control_client import actor
from penstock.evidence.verdict import Verdict
from penstock.rollout.spec import RolloutSpec, Step
from penstock.rollout.state import GateResult, Phase, Transition
from penstock.server.control_api.answers import (
    HistoryEntry,
    RolloutAnswer,
    Seen,
    ShadowAnswer,
    VariantAnswer,
)
from tests.unit.app.shell import Shell, StubServer

PLAN = "model: digits\ncandidate: 2\nsteps: [{weight: 5}, {weight: 50}]\n"
GATE = GateResult(
    gate="error_rate <= +0.5 points",
    verdict=Verdict.NEED_MORE_DATA,
    message="the candidate fails 0 % of 400 requests",
    bound=0.005,
    low=-0.002,
    high=0.011,
    samples=400,
    needed=1234,
)
CANARY = RolloutAnswer(
    model="digits",
    id="digits-1",
    phase=Phase.CANARY,
    stage="canary 5 %",
    spec=RolloutSpec(
        model="digits", candidate=2, reference=1, steps=(Step(weight=5), Step(weight=50))
    ),
    candidate=2,
    reference=1,
    weight=5,
    entered_ms=1_000,
    explanation="Version 2 gets 5 % of the requests. It waits.",
    gates=(GATE,),
    seen=Seen(
        stage="digits-1/canary/0",
        variants={
            "stable": VariantAnswer(1, 95, 7600, 8, p50_ms=1.5, p99_ms=9.25),
            "canary": VariantAnswer(2, 5, 400),
        },
    ),
    history=(
        Transition(1_000, "draft", "ann", "from version 1 to 2"),
        Transition(2_000, "canary 5 %", "controller", "it is ready", (GATE,)),
    ),
    notes=("it is forgotten when the server ends",),
)
DONE = msgspec.structs.replace(
    CANARY,
    phase=Phase.DONE,
    stage="done",
    is_over=True,
    explanation="Version 2 gets all requests: all gates pass.",
    history=(*CANARY.history, Transition(9_000, "done", "controller", "all gates pass")),
)
BACK = msgspec.structs.replace(
    CANARY,
    phase=Phase.ROLLED_BACK,
    stage="rolled back",
    is_over=True,
    weight=0.0,
    explanation="Version 2 gets no requests (rolled back): it is worse.",
)


def plain(answer: Any) -> Any:
    """As JSON values."""
    return msgspec.json.decode(msgspec.json.encode(answer))


@pytest.fixture(autouse=True)
def answers(stub: StubServer) -> None:
    Path("rollout.yaml").write_text(PLAN)
    stub.answers |= {
        "POST /v2/rollouts": (200, plain(CANARY)),
        "GET /v2/rollouts": (200, {"rollouts": [plain(CANARY)]}),
        "GET /v2/rollouts/digits": (200, plain(CANARY)),
        "GET /v2/rollouts/digits/history": (
            200,
            {
                "model": "digits",
                "history": [plain(HistoryEntry(1_000, "route set", "ann", "try it", "", (GATE,)))],
            },
        ),
    }
    for deed in ("pause", "resume", "promote", "abort"):
        stub.answers[f"POST /v2/rollouts/digits/{deed}"] = (200, plain(CANARY))


def test_start_sends_the_plan_and_who_asks(shell: Shell, stub: StubServer) -> None:
    ran = shell("rollout", "start", "rollout.yaml")
    assert ran.code == 0
    method, path, headers, body = stub.asked[0]
    assert (method, path) == ("POST", "/v2/rollouts")
    assert headers["x-penstock-actor"] == actor()
    sent = msgspec.json.decode(body, type=RolloutSpec)
    assert sent == RolloutSpec(model="digits", candidate=2, steps=(Step(weight=5), Step(weight=50)))
    assert "note: it is forgotten when the server ends" in ran.out.splitlines()
    assert ran.err == "follow it with 'penstock rollout watch digits'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "model: digits\ncandidates: 2",
            "bad.yaml: $.candidates: unknown field, did you mean 'cand",
        ),
        ("model: digits\ncandidate: 2\nsteps: []", "bad.yaml: $.steps: without a step"),
        (None, "bad.yaml: cannot be read: no such file"),
    ],
)
def test_a_wrong_plan_is_wrong_usage_and_asks_nobody(
    shell: Shell, stub: StubServer, text: str | None, said: str
) -> None:
    if text is not None:
        Path("bad.yaml").write_text(text)
    ran = shell("rollout", "start", "bad.yaml")
    assert ran.code == 2
    assert said in ran.err
    assert stub.asked == []


def test_plan_tells_what_each_stage_takes(shell: Shell, stub: StubServer) -> None:
    ran = shell("rollout", "plan", "rollout.yaml", "--rps", "50")
    lines = ran.out.splitlines()
    assert " ".join(lines[0].split()) == "stage of the candidate requests time because of if"
    assert [line[:12].strip() for line in lines[1:]] == ["canary 5 %", "canary 50 %", "bake"]
    assert (ran.code, ran.err, stub.asked) == (0, "", [])
    told = json.loads(shell("rollout", "plan", "rollout.yaml", "--json").out)
    assert [need["phase"] for need in told] == ["canary", "canary", "bake"]
    assert told[0]["requests"] == 20 * told[0]["samples"]
    slow = shell("rollout", "plan", "rollout.yaml", "--rps", "0.001")
    assert slow.code == 2
    assert "at 0.001 requests per second" in slow.err


def test_status(shell: Shell) -> None:
    ran = shell("rollout", "status", "digits")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("digits: version 1 to 2   canary 5 %   for ")
    assert lines[0].endswith(" of 60 s at least, 24 h at most")
    assert [word for word in lines[1].split("   ") if word] == [
        "● warm",
        "◉ canary 5 %",
        "○ canary 50 %",
        "○ bake",
        "○ done",
    ]
    assert lines[2].endswith(" 5 % to the candidate")
    assert "stable   1         95 %     7,600  8 (0.105 %)     1.5    9.25" in lines
    assert "canary   2          5 %       400            0       -       -" in lines
    gate = next(line for line in lines if line.startswith("error_rate <= +0.5 points  need more"))
    assert gate.split()[-3:] == ["400", "1,300", "more"]
    assert "  error_rate <= +0.5 points: the candidate fails 0 % of 400 requests" in lines
    assert "Version 2 gets 5 % of the requests. It waits." in lines


def test_status_of_a_shadow(shell: Shell, stub: StubServer) -> None:
    shadow = ShadowAnswer(2, "class", 200, 190, errors=3, shed=4)
    seen = msgspec.structs.replace(CANARY.seen, shadow=shadow)
    answer = msgspec.structs.replace(CANARY, seen=seen)
    stub.answers["GET /v2/rollouts/digits"] = (200, plain(answer))
    assert (
        "shadow: 95 % of 200 answers agree (class), 3 failed, 4 copies were left out"
        in shell("rollout", "status", "digits").out.splitlines()
    )


def test_status_of_all(shell: Shell, stub: StubServer) -> None:
    lines = shell("rollout", "status").out.splitlines()
    assert lines[0].split() == ["model", "from", "to", "stage", "share", "since"]
    assert lines[1].startswith("digits  1     2   canary 5 %  5 %    19")
    stub.answers["GET /v2/rollouts"] = (200, {"rollouts": []})
    assert shell("rollout", "status") == (0, "", f"no rollouts at {stub.url}\n")


def test_json_prints_nothing_else(shell: Shell) -> None:
    for words in (
        ("start", "rollout.yaml"),
        ("status", "digits"),
        ("pause", "digits"),
        ("abort", "digits"),
    ):
        ran = shell("rollout", *words, "--json")
        assert (json.loads(ran.out), ran.err) == (plain(CANARY), "")
    assert json.loads(shell("rollout", "status", "--json").out) == [plain(CANARY)]
    (entry,) = json.loads(shell("rollout", "history", "digits", "--json").out)
    assert entry["what"] == "route set"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("pause",), {"why": ""}),
        (("pause", "--why", "lunch"), {"why": "lunch"}),
        (("resume",), {"why": ""}),
        (("promote",), {"why": "", "full": False}),
        (("promote", "--full", "--why", "sure"), {"why": "sure", "full": True}),
        (("abort", "--why", "it smells"), {"why": "it smells"}),
    ],
)
def test_deeds(shell: Shell, stub: StubServer, words: list[str], body: dict[str, Any]) -> None:
    ran = shell("rollout", words[0], "digits", *words[1:])
    assert ran.code == 0
    assert ran.out.startswith("digits: version 1 to 2   canary 5 %")
    method, path, headers, sent = stub.asked[0]
    assert (method, path) == ("POST", f"/v2/rollouts/digits/{words[0]}")
    assert json.loads(sent) == body
    assert headers["x-penstock-actor"] == actor()


def test_what_the_server_refuses(shell: Shell, stub: StubServer) -> None:
    refusal = {"error": "the rollout of digits is not paused"}
    stub.answers["POST /v2/rollouts/digits/resume"] = (409, refusal)
    ran = shell("rollout", "resume", "digits")
    assert (ran.code, ran.out, ran.err) == (1, "", f"penstock: {refusal['error']}\n")


def test_history(shell: Shell, stub: StubServer) -> None:
    ran = shell("rollout", "history", "digits")
    assert ran.out.rstrip().endswith("  route set  ann: try it")
    with_gates = shell("rollout", "history", "digits", "--gates").out.splitlines()
    assert with_gates[1] == "    need more data: the candidate fails 0 % of 400 requests"
    stub.answers["GET /v2/rollouts/digits/history"] = (200, {"model": "digits", "history": []})
    assert shell("rollout", "history", "digits").err == "the requests of digits were never routed\n"


@pytest.mark.parametrize(("end", "code"), [(DONE, 0), (BACK, 1)])
def test_watch_ends_with_the_rollout(
    shell: Shell, stub: StubServer, end: RolloutAnswer, code: int
) -> None:
    stub.answers["GET /v2/rollouts/digits"] = (200, plain(end))
    ran = shell("rollout", "watch", "digits")
    assert ran.code == code
    assert ran.out.splitlines()[0].endswith("  draft  ann: from version 1 to 2")
    assert end.explanation in ran.err
    told = shell("rollout", "watch", "digits", "--json")
    assert (told.code, json.loads(told.out), told.err) == (code, plain(end), "")


def test_start_and_watch(shell: Shell, stub: StubServer) -> None:
    stub.answers["GET /v2/rollouts/digits"] = (200, plain(DONE))
    ran = shell("rollout", "start", "rollout.yaml", "--watch")
    assert ran.code == 0
    assert ran.err.startswith("note: it is forgotten when the server ends\n")
    assert [(method, path) for method, path, _, _ in stub.asked] == [
        ("POST", "/v2/rollouts"),
        ("GET", "/v2/rollouts/digits"),
    ]
