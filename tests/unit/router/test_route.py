"""What a route may say, and what it is told when it says something else."""

import msgspec
import pytest

from penstock.core.errors import InvalidArgument
from penstock.router.route import Route, RoutingKey, Rule, Shadow, Variant, check_route

from .routing import route

WHOLE = (Variant(name="a", version=1, weight=100.0),)


def test_a_good_route_is_let_pass() -> None:
    check_route(
        Route(
            variants=(
                Variant(name="a", version=1, weight=33.3),
                Variant(name="b", version=2, weight=66.7),
                Variant(name="c", version=2),
            ),
            rules=(
                Rule(header="x-group", equals="Jürgen", variant="b"),
                Rule(parameter="user", equals="日本", variant="c"),
            ),
            key=RoutingKey(header="x-user_id"),
            labels={"stable": 1, "v2": 2},
            shadow=Shadow(version=3),
        )
    )


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Route(variants=()), "variants: expected at least one, got none; name who answers"),
        (
            Route(variants=(*WHOLE, *WHOLE)),
            "variants: expected each name once, got 'a' 2 times; rename one of them",
        ),
        (
            Route(variants=(Variant(name="a", version=1, weight=90), Variant(name="b", version=2))),
            "variants: expected weights that sum to 100 percent, got 90 (a 90, b 0); "
            "change a weight",
        ),
        (
            Route(
                variants=(
                    Variant(name="a", version=1, weight=150),
                    Variant(name="b", version=2, weight=-50),
                )
            ),
            "variants: 'a': weight: expected 0 to 100 percent, got 150",
        ),
        (
            Route(variants=(Variant(name="a", version=1, weight=float("nan")),)),
            "variants: 'a': weight: expected 0 to 100 percent, got nan",
        ),
        (
            Route(variants=WHOLE, rules=(Rule(equals="1", variant="a"),)),
            "rules[0]: expected exactly one of 'header' and 'parameter', got neither; "
            "say what the rule looks at",
        ),
        (
            Route(
                variants=WHOLE,
                rules=(Rule(header="h", parameter="p", equals="1", variant="a"),),
            ),
            "rules[0]: expected exactly one of 'header' and 'parameter', got both; "
            "say what the rule looks at",
        ),
        (
            Route(variants=WHOLE, rules=(Rule(parameter="p", equals="1", variant="b"),)),
            "rules[0].variant: expected one of a, got 'b'",
        ),
        (
            Route(variants=WHOLE, rules=(Rule(header="X-User", equals="1", variant="a"),)),
            "rules[0].header: expected the name of a header in lower case, such as 'x-user-id', "
            "got 'X-User'",
        ),
        (
            Route(variants=WHOLE, rules=(Rule(header="x", equals="日", variant="a"),)),
            "rules[0].equals: a header holds Latin-1 text, got '日'; look at a parameter instead",
        ),
        (
            Route(variants=WHOLE, key=RoutingKey(header="x", client=True)),
            "key: expected at most one of header, parameter, input and client, got "
            "header and client; leave one",
        ),
        (
            Route(variants=WHOLE, key=RoutingKey(header="x user")),
            "key.header: expected the name of a header in lower case, such as 'x-user-id', "
            "got 'x user'",
        ),
        (
            Route(variants=WHOLE, labels={"2": 2}),
            "labels: expected names, got the number '2': it would be read as a version; "
            "call the label something else",
        ),
    ],
)
def test_a_wrong_route_names_the_field(wrong: Route, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_route(wrong)
    assert caught.value.message == text


def test_weights_may_miss_the_whole_by_a_millionth() -> None:
    third = 100 / 3
    thirds = tuple(Variant(name=name, version=1, weight=third) for name in "abc")
    check_route(Route(variants=thirds))
    with pytest.raises(InvalidArgument):
        check_route(Route(variants=(*thirds, Variant(name="d", version=1, weight=1e-5))))


def test_every_version_of_a_route_is_held() -> None:
    whole = route(labels={"old": 7}, shadow=Shadow(version=9), keep=(3,))
    assert whole.versions == {1, 2, 3, 7, 9}
    assert msgspec.convert(msgspec.to_builtins(whole), Route) == whole
