"""What operators do with routes and rollouts."""

from __future__ import annotations

import msgspec
import pytest

from penstock.core.errors import (
    ConfigError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    StoreError,
)
from penstock.rollout.report import ProcessReport
from penstock.rollout.spec import ShadowStage, Webhook
from penstock.rollout.state import Phase
from penstock.rollout.subjects import counts_subject
from penstock.router.counts import Example, PairCounts, StageCounts
from penstock.router.route import Route, Shadow, Variant
from tests.unit.rollout.rollouts import a_spec, a_variant, copies
from tests.unit.server.control_api.plant import Works

ALONE = Route(variants=(Variant(name="stable", version=1, weight=100),))
SPLIT = Route(
    variants=(
        Variant(name="stable", version=1, weight=90),
        Variant(name="canary", version=2, weight=10),
    ),
    labels={"new": 2},
    keep=(3,),
)


async def test_a_route_is_set_told_and_cleared() -> None:
    works = Works(notes=("forgotten",))
    async with works as control:
        told = await control.set_route("digits", SPLIT, "ann", "to try it")
        assert told.notes == ("forgotten",)
        assert works.held["digits"] == {1, 2, 3}
        set_now = works.table.route("digits")
        assert set_now is not None
        assert set_now.stage.startswith("route/")
        assert [one.model for one in await control.routes()] == ["digits"]
        cleared = await control.clear_route("digits", "ben")
        assert (cleared.route, works.table.route("digits")) == (None, None)
        assert works.held["digits"] == frozenset()
        assert await control.routes() == []
        history = await control.history("digits")
    assert [(one.what, one.who, one.why) for one in history] == [
        ("route set", "ann", "to try it"),
        ("route cleared", "ben", "route cleared"),
    ]


async def test_what_a_hand_made_split_counts_is_told() -> None:
    works = Works()
    async with works as control:
        told = await control.set_route("digits", SPLIT)
        assert told.route is not None
        counts = StageCounts(told.route.stage, {"stable": a_variant(9), "canary": a_variant(1)})
        report = msgspec.msgpack.encode(ProcessReport(1, counts, (1, 2)))
        await works.store.publish("p1", counts_subject("digits"), report)
        old = ProcessReport(1, StageCounts("another", {"stable": a_variant(50)}))
        await works.store.publish("p0", counts_subject("digits"), msgspec.msgpack.encode(old))
        seen = (await control.route("digits")).seen
    assert seen is not None
    assert {name: one.requests for name, one in seen.variants.items()} == {"stable": 9, "canary": 1}
    assert [one.id for one in seen.processes] == ["p1"]


async def test_a_route_of_one_variant_is_not_counted() -> None:
    async with Works() as control:
        told = await control.set_route("digits", ALONE)
    assert told.route is not None
    assert (told.route.stage, told.seen) == ("", None)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (Route(variants=()), "variants: expected at least one"),
        (
            Route(variants=(Variant(name="a", version=7, weight=100),)),
            "route.variants[0].version: version 7 of 'digits' is not in the repository; "
            "there: 1, 2, 3",
        ),
        (
            msgspec.structs.replace(ALONE, shadow=Shadow(version=9)),
            "route.shadow.version: version 9",
        ),
        (msgspec.structs.replace(ALONE, labels={"x": 9}), "route.labels.x: version 9"),
        (msgspec.structs.replace(ALONE, keep=(9,)), "route.keep[0]: version 9"),
        (msgspec.structs.replace(ALONE, stage="mine"), "route.stage: is given by the server"),
        (msgspec.structs.replace(ALONE, experiment="x"), "route.experiment: is given by"),
    ],
)
async def test_a_route_that_could_not_be_followed_changes_nothing(route: Route, said: str) -> None:
    works = Works()
    async with works as control:
        with pytest.raises(InvalidArgument) as caught:
            await control.set_route("digits", route)
    assert said in caught.value.message
    assert works.store.changes == []


async def test_code_that_the_settings_do_not_name_is_not_imported() -> None:
    shadow = Shadow(version=2, compare="os:system")
    spec = a_spec(shadow=ShadowStage(compare="os:system"))
    works = Works()
    async with works as control:
        with pytest.raises(InvalidArgument, match="add it to the setting shadow_comparisons"):
            await control.set_route("digits", msgspec.structs.replace(ALONE, shadow=shadow))
        with pytest.raises(InvalidArgument, match="add it to the setting shadow_comparisons"):
            await control.start(spec)
        assert works.table.route("digits") is None


async def test_of_a_model_that_is_not_there_nothing_is_told_or_done() -> None:
    async with Works() as control:
        for asking in (
            control.route("nope"),
            control.set_route("nope", ALONE),
            control.clear_route("nope"),
            control.rollout("nope"),
            control.start(a_spec(model="nope")),
            control.act("nope", "pause"),
            control.history("nope"),
            control.disagreements("nope"),
        ):
            with pytest.raises(NotFound, match="nope"):
                await asking


async def test_a_rollout_is_started_paused_resumed_promoted_and_aborted() -> None:
    works = Works(notes=("forgotten",))
    async with works as control:
        told = await control.start(a_spec(reference=None), "ann")
        assert (told.phase, told.reference, told.candidate) == (Phase.DRAFT, 1, 2)
        assert told.notes[-1] == "forgotten"
        assert any("canary 5 %" in note for note in told.notes)
        assert (await control.act("digits", "pause", "ann", "lunch")).is_paused
        assert not (await control.act("digits", "resume", "ann")).is_paused
        ended = await control.act("digits", "abort", "ben", "enough")
        assert (ended.phase, ended.is_over) == (Phase.ROLLED_BACK, True)
        assert [one.model for one in await control.rollouts()] == ["digits"]
        history = await control.history("digits")
    assert [(one.what, one.who) for one in history] == [
        ("draft", "ann"),
        ("paused", "ann"),
        ("draft", "ann"),
        ("rolled back", "ben"),
    ]
    assert [change.why for change in works.store.changes][:2] == ["rollout of version 2", "lunch"]


async def test_what_cannot_be_done_now_is_refused() -> None:
    async with Works() as control:
        with pytest.raises(NotFound, match="there was no rollout of 'digits'"):
            await control.rollout("digits")
        await control.start(a_spec())
        with pytest.raises(FailedPrecondition, match="under way"):
            await control.start(a_spec(candidate=3))
        with pytest.raises(FailedPrecondition, match="abort"):
            await control.set_route("digits", ALONE)
        with pytest.raises(FailedPrecondition, match="abort"):
            await control.clear_route("digits")
        with pytest.raises(FailedPrecondition, match="not paused"):
            await control.act("digits", "resume")
        await control.act("digits", "abort")
        with pytest.raises(FailedPrecondition, match="has ended"):
            await control.act("digits", "abort")


async def test_a_rollout_to_a_version_that_is_not_there() -> None:
    async with Works() as control:
        with pytest.raises(InvalidArgument, match=r"candidate: version 9 .* there: 1, 2, 3"):
            await control.start(a_spec(candidate=9))
        with pytest.raises(InvalidArgument, match="reference: version 8"):
            await control.start(a_spec(reference=8))
        with pytest.raises(ConfigError, match="candidate"):
            await control.start(a_spec(candidate=1))


async def test_the_largest_disagreements_are_told() -> None:
    works = Works()
    route = msgspec.structs.replace(ALONE, shadow=Shadow(version=2))
    async with works as control:
        nothing = await control.disagreements("digits")
        assert (nothing.version, nothing.examples) == (None, ())
        told = await control.set_route("digits", route)
        assert told.route is not None
        example = Example(1.0, "r1", 5, "[1]", "7", "9")
        pairs: PairCounts = copies(10, 9)
        pairs.examples = [example]
        counts = StageCounts(told.route.stage, {}, pairs)
        report = msgspec.msgpack.encode(ProcessReport(1, counts))
        await works.store.publish("p1", counts_subject("digits"), report)
        found = await control.disagreements("digits")
    assert (found.version, found.comparison, found.examples) == (2, "class", (example,))


async def test_a_store_that_is_down_is_said() -> None:
    works = Works()
    async with works as control:
        works.store.fault = StoreError("the control store is down")
        with pytest.raises(StoreError, match="down"):
            await control.set_route("digits", ALONE)
        works.store.fault = None
    assert works.table.route("digits") is None


@pytest.mark.parametrize(
    ("hosts", "url", "said"),
    [
        (
            (),
            "http://169.254.169.254/latest",
            r"\$\.webhook\.url: 169\.254.*setting outbound_hosts",
        ),
        (("hooks.example",), "https://elsewhere.example/x", "add it to the setting outbound_hosts"),
        (("hooks.example:443",), "https://hooks.example:8443/", "hooks.example:8443 is not among"),
    ],
)
async def test_the_server_asks_only_whom_its_settings_let_it(
    hosts: tuple[str, ...], url: str, said: str
) -> None:
    works = Works(outbound_hosts=hosts)
    async with works as control:
        with pytest.raises(InvalidArgument, match=said):
            await control.start(a_spec(webhook=Webhook(url=url)))
        assert works.store.changes == []
        await control.start(a_spec(webhook=Webhook(url="https://hooks.example/y")))


async def test_a_route_that_one_process_cannot_follow_holds_in_the_others() -> None:
    works = Works()
    async with works as control:
        await control.set_route("digits", SPLIT)
        works.refuses = True
        with pytest.raises(InvalidArgument, match="not here"):
            await control.clear_route("digits")
        assert len(works.store.changes) == 2  # nothing was taken back
        works.refuses = False
        await control.clear_route("digits")
        assert works.table.route("digits") is None
