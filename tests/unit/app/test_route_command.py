"""``penstock route``: words to routes, what is asked, what is printed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.app.cli.control_client import actor
from penstock.app.cli.route_words import RouteWords, read_route
from penstock.core.errors import ConfigError
from penstock.router.route import Route, RoutingKey, Rule, Shadow, Variant
from penstock.server.control_api.answers import RouteAnswer, Seen, VariantAnswer
from tests.unit.app.shell import Shell, StubServer

SPLIT = Route(
    variants=(
        Variant(name="stable", version=1, weight=95),
        Variant(name="canary", version=2, weight=5),
    ),
    rules=(Rule(header="x-beta", equals="1", variant="canary"),),
    key=RoutingKey(header="x-user-id"),
    labels={"next": 2},
    shadow=Shadow(version=3, sample=0.1),
    keep=(7,),
)
ANSWER = RouteAnswer(
    model="digits",
    route=SPLIT,
    ready=(1, 3),
    seen=Seen(stage="s", variants={"stable": VariantAnswer(1, 95, 1000, 3, p99_ms=2.5)}),
    notes=("version 2 loads",),
)


@pytest.fixture(autouse=True)
def answers(stub: StubServer) -> None:
    stub.answers |= {
        "GET /v2/routes": (200, {"routes": [msgspec.to_builtins(ANSWER)]}),
        "GET /v2/routes/digits": (200, msgspec.to_builtins(ANSWER)),
        "PUT /v2/routes/digits": (200, msgspec.to_builtins(ANSWER)),
        "DELETE /v2/routes/digits": (
            200,
            msgspec.to_builtins(RouteAnswer(model="digits", ready=(1, 3))),
        ),
    }


def test_show(shell: Shell) -> None:
    ran = shell("route", "show", "digits")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "digits",
        "variant  version  share  ready  requests  failed  p99 ms",
        "stable   1         95 %  yes       1,000       3     2.5",
        "canary   2          5 %  no            -       -       -",
        "rule: header x-beta = 1 goes to canary",
        "assigned by the header x-user-id",
        "label: next is version 2",
        "shadow: version 3 gets a copy of 10 %",
        "kept loaded: 7",
        "note: version 2 loads",
    ]
    assert shell("route", "show").out == ran.out


def test_show_nothing(shell: Shell, stub: StubServer) -> None:
    stub.answers["GET /v2/routes"] = (200, {"routes": []})
    ran = shell("route", "show")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"no model at {stub.url} has a route: the newest version of each answers\n"


def test_who_moves_the_route(shell: Shell, stub: StubServer) -> None:
    for fields, line in (
        ({"rollout": "canary"}, "a rollout moves this route (canary): 'penstock rollout status d"),
        ({"experiment": "e1"}, "the experiment e1 shares the requests out"),
    ):
        answer = msgspec.structs.replace(ANSWER, **fields)
        stub.answers["GET /v2/routes/digits"] = (200, msgspec.to_builtins(answer))
        assert line in shell("route", "show", "digits").out


def test_set(shell: Shell, stub: StubServer) -> None:
    words = ("stable=1:95", "canary=2:5", "--key", "header:X-User-Id", "--label", "next=2")
    further = ("--rule", "header:x-beta=1:canary", "--shadow", "3:0.1", "--why", "try it")
    ran = shell("route", "set", "digits", *words, *further)
    assert ran.code == 0
    method, path, headers, body = stub.asked[0]
    assert (method, path, headers["x-penstock-actor"]) == ("PUT", "/v2/routes/digits", actor())
    sent = json.loads(body)
    assert sent.pop("why") == "try it"
    assert msgspec.convert(sent, Route) == msgspec.structs.replace(SPLIT, keep=())
    assert ran.out.startswith("digits\nvariant")


def test_clear(shell: Shell, stub: StubServer) -> None:
    ran = shell("route", "clear", "digits", "--why", "enough")
    assert ran.out == "digits: the newest version answers (version 3)\n"
    assert stub.asked[0][:2] == ("DELETE", "/v2/routes/digits")
    assert json.loads(stub.asked[0][3]) == {"why": "enough"}


def test_json_prints_nothing_else(shell: Shell) -> None:
    told = msgspec.json.decode(msgspec.json.encode(ANSWER))
    assert json.loads(shell("route", "show", "digits", "--json").out) == told
    assert json.loads(shell("route", "show", "--json").out) == [told]
    assert json.loads(shell("route", "set", "digits", "a=1:100", "--json").out) == told
    assert json.loads(shell("route", "clear", "digits", "--json").out)["route"] is None


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"key": "client"}, RoutingKey(client=True)),
        ({"key": "parameter:tenant"}, RoutingKey(parameter="tenant")),
        ({"key": "input:user"}, RoutingKey(input="user")),
        ({}, RoutingKey()),
    ],
)
def test_keys(fields: dict[str, Any], key: RoutingKey) -> None:
    assert read_route(RouteWords(["a=1:100"], **fields)).key == key


def test_rules_may_hold_colons_and_equal_signs() -> None:
    words = RouteWords(["a=1:100"], rules=["parameter:url=http://x=y:a"])
    assert read_route(words).rules == (Rule(parameter="url", equals="http://x=y", variant="a"),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"variants": ["stable"]}, "expected NAME=VERSION:PERCENT"),
        ({"variants": ["stable=one:95"]}, "got 'stable=one:95'"),
        ({"variants": ["stable=1:101"]}, "got 'stable=1:101'"),
        ({"variants": ["st able=1:100"]}, "got 'st able=1:100'"),
        ({"key": "header"}, "--key: expected header:NAME"),
        ({"key": "cookie:x"}, "got 'cookie:x'"),
        ({"rules": ["x-beta=1:canary"]}, "--rule: expected KIND:NAME=VALUE:VARIANT"),
        ({"rules": ["header:x-beta=1"]}, "got 'header:x-beta=1'"),
        ({"labels": ["next"]}, "--label: expected LABEL=VERSION"),
        ({"shadow": "two"}, "--shadow: expected VERSION"),
        ({"shadow": "2:1.5"}, "got '2:1.5'"),
    ],
)
def test_words_of_another_form(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_route(RouteWords(**{"variants": ["stable=1:100"], **fields}))
    assert told in caught.value.message


def test_wrong_words_are_wrong_usage(shell: Shell, stub: StubServer) -> None:
    ran = shell("route", "set", "digits", "stable")
    assert (ran.code, stub.asked) == (2, [])
    assert ran.err.startswith("penstock: expected NAME=VERSION:PERCENT")
