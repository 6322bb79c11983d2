"""The smaller rooms: settings, the archive, the guard, the board, trends, the predictor."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.tweet_sentiment import settings as settings_module
from apps.tweet_sentiment.auth import Guard
from apps.tweet_sentiment.board import DAY_S, HOUR_S, Board
from apps.tweet_sentiment.predictor import PenstockPredictor, Prediction, Refusal
from apps.tweet_sentiment.record import Line, Record, decode, encode
from apps.tweet_sentiment.settings import Settings
from apps.tweet_sentiment.sources.archive import ArchiveError, open_archive
from apps.tweet_sentiment.sources.source import Tweet, Window
from apps.tweet_sentiment.text import canonical, refusal
from apps.tweet_sentiment.trend import ranking, trend
from penstock import InvalidInput
from tests.apps.tweet_sentiment.doubles import a_settings, settings_from

APP = Path(settings_module.__file__).parent


@pytest.mark.parametrize("password", ["", "changethis", "password", "short", "root-root-root"])
def test_production_refuses_an_easy_password(password: str) -> None:
    values = {"first_superuser": "root-root-root", "first_superuser_password": password}
    with pytest.raises(ValidationError, match="FIRST_SUPERUSER_PASSWORD") as caught:
        a_settings(app_env="production", **values)
    assert "root-root" not in str(caught.value)
    assert a_settings(app_env="development", **values)


def test_production_takes_a_good_password_and_hides_it() -> None:
    settings = a_settings(app_env="production", first_superuser_password="a fine long one")
    assert "a fine long one" not in repr(settings)


def test_x_needs_a_token_and_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="X_BEARER_TOKEN"):
        a_settings(tweet_source="x")
    file = tmp_path / ".env"
    file.write_text("PROT=1\n")
    with pytest.raises(ValidationError, match="prot"):
        settings_from(file)


def test_the_template_names_every_setting_with_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    template = APP / ".env.example"
    names = {
        line.lstrip("#").split("=")[0].lower()
        for line in template.read_text().splitlines()
        if "=" in line and line.split("=")[0].lstrip("#").isupper()
    }
    internal = {"x_api_url", "max_texts", "drain_timeout_s"}
    assert names == set(Settings.model_fields) - internal
    assert settings_from(template).app_env == "development"


def test_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=1\nREDIS_URL=redis://:secret@host/0\n")
    monkeypatch.setitem(os.environ, "PORT", "2")
    settings = settings_from(file)
    assert settings.port == 2
    assert settings.effective_store_url == "redis://:secret@host/0"
    assert "secret" not in repr(settings)


async def test_the_archive_written_for_this_project() -> None:
    source = open_archive(APP / "archive" / "tweets.jsonl")
    assert 150 <= len(source) <= 250
    assert len(source.authors()) == 12
    newest = source.newest(1)[0]
    assert await source.tweet(newest.id) == newest
    pages = source.pages(newest.author.upper(), Window(0, 2**33), 5)
    assert len(await pages.next() or []) == 5
    assert await pages.next() is None


async def test_an_x_data_archive(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    account = [{"account": {"username": "Ann", "email": "ann@example.org"}}]
    (data / "account.js").write_text(f"window.YTD.account.part0 = {json.dumps(account)}")
    rows = [
        {
            "tweet": {
                "id_str": str(n),
                "created_at": "Fri Nov 21 12:00:00 +0000 2025",
                "full_text": t,
            }
        }
        for n, t in ((1, "good ☀"), (2, "bad"))
    ]
    (data / "tweets.js").write_text(f"window.YTD.tweets.part0 = {json.dumps(rows[:1])}")
    (data / "tweets-part1.js").write_text(f"window.YTD.tweets.part1 = {json.dumps(rows[1:])}")
    source = open_archive(tmp_path)
    assert await source.tweet("1") == Tweet("1", "Ann", 1_763_726_400, "good ☀")
    assert len(source) == 2


@pytest.mark.parametrize("content", [b"{}", b"nope", b'{"id": 1}', b"\xff\xfe\x00"])
def test_a_broken_archive_names_its_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tweets.jsonl"
    file.write_bytes(b"\n" + content)
    with pytest.raises(ArchiveError, match="line 2"):
        open_archive(file)
    with pytest.raises(ArchiveError, match="no such file"):
        open_archive(tmp_path / "none.jsonl")
    with pytest.raises(ArchiveError):
        open_archive(tmp_path)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_guard_forgets_after_a_while_and_knows_addresses_apart() -> None:
    now = [0.0]
    guard = Guard("root", "päss:word", now=lambda: now[0])
    assert guard.admits(basic("root", "päss:word"), "a")
    for bad in ("Basic !", "Bearer x", "", basic("root", ""), basic("", "päss:word")):
        assert not guard.admits(bad, "a")
    assert guard.wait_s("a") == 60
    assert guard.wait_s("b") == 0
    now[0] = 60
    assert guard.wait_s("a") == 0
    assert not guard.admits(None, "a")
    assert not Guard("root", "").admits(basic("root", ""), "a")


LINES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 5 * DAY_S),
        st.integers(0, 2),
        st.integers(-10_000, 10_000),
    ).map(lambda row: Line(*row)),
    max_size=60,
)


@given(LINES, st.integers(0, 130), st.integers(0, 130))
def test_the_board_sums_what_a_loop_over_all_lines_sums(
    lines: list[Line], first: int, length: int
) -> None:
    board = Board()
    for line in lines:
        board.add(line)
    since, until = first * HOUR_S, (first + length) * HOUR_S
    totals = board.totals(since, until)
    for number, author in enumerate(board.handles):
        inside = [x for x in lines if x.author == author and since <= x.created_s < until]
        assert totals[3, number] == sum(x.score_e4 for x in inside)
        assert [totals[k, number] for k in range(3)] == [
            sum(x.label == k for x in inside) for k in range(3)
        ]
        cells = board.cells(number, since, until, "h")
        assert sum(int(cell.counts[:3].sum()) for cell in cells) == len(inside)


def test_trends_and_rankings() -> None:
    board = Board()
    for day in range(10):
        board.add(Line("up", day * DAY_S, 2, day * 1000))
        board.add(Line("down", day * DAY_S, 0, -day * 1000))
        board.add(Line("flat", day * DAY_S, 1, 7))
    found = {}
    for author in ("up", "down", "flat"):
        number = board.number(author)
        assert number is not None
        line = trend(board.cells(number, 0, 10 * DAY_S, "d"), 1)
        assert line is not None
        found[author] = line
    assert found["up"].slope_per_day == pytest.approx(0.1)
    assert [line.direction for line in found.values()] == ["rising", "falling", "steady"]
    assert ranking(np.zeros((4, 0), np.int64), "active", 1, 10) == []


@given(st.text())
def test_canonical_is_idempotent_and_refusing_never_fails(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == once
    refusal(once)


@given(st.binary(max_size=60))
def test_any_bytes_from_the_store_are_a_record_or_none(value: bytes) -> None:
    decode(value)


def test_a_record_there_and_back() -> None:
    record = Record(2, (0.1, 0.2, 0.7), "1", "ann", 5, "good ☀")
    assert decode(encode(record)) == record


class FakeModels:
    """Scores ``good`` high; refuses ``bad``."""

    def version(self, model: str) -> int:
        return 3

    async def infer(self, model: str, /, **inputs: Any) -> dict[str, Any]:
        if inputs["text"] == ["bad"]:
            raise InvalidInput(0, "it is bad")
        if inputs["text"] == ["bug"]:
            raise RuntimeError
        return {"scores": np.array([[0.25, 0.25, 0.5]], np.float32)}


async def test_the_predictor_asks_for_each_text_and_keeps_the_order() -> None:
    predictor = PenstockPredictor(FakeModels(), "m", at_once=2)
    assert predictor.version == 3
    good = Prediction(2, (0.25, 0.25, 0.5))
    answers = await predictor.predict(["good", "bad", "good"])
    assert answers == [good, Refusal("it is bad"), good]
    assert await predictor.predict(["bad"]) == [Refusal("it is bad")]
    with pytest.raises(RuntimeError):
        await predictor.predict(["good", "bug"])
