"""The page in a real Chromium: an answer, a chart, an error; by keyboard, on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.tweet_sentiment.live import live

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live(tmp_path_factory.mktemp("page")) as service:
        yield service.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(url)
    page.wait_for_selector("#top button")
    yield page
    assert [problem for problem in problems if "422" not in problem] == []
    page.close()


def test_a_tweets_url_gives_its_sentiment_and_its_authors_chart(page: Any) -> None:
    page.click("#examples button")
    page.wait_for_selector("#answer .result")
    assert page.inner_text("#answer .verdict strong").lower() in ("negative", "neutral", "positive")
    assert len(page.query_selector_all("#answer .bars li")) == 3
    assert page.inner_text("#answer .quote p")
    page.wait_for_selector("#chart canvas")
    assert "Sentiment of" in page.get_attribute("#chart", "aria-label")
    drawn = """() => {
        const canvas = document.querySelector('#chart canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return pixels.data.some((value) => value);
    }"""
    page.wait_for_function(drawn)
    assert page.inner_text("#hit-ratio").endswith("%")


def test_a_text_by_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the question"
    page.focus("#question")
    page.keyboard.type("I love this")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer .result")
    assert page.inner_text("#answer .verdict strong").lower() == "positive"
    assert page.get_attribute("#answer", "aria-live") == "polite"


@pytest.mark.parametrize(
    ("question", "says"),
    [("https://example.com/a/status/1", "not the URL of a tweet"), ("   ", "cannot be judged")],
)
def test_an_error_is_shown(page: Any, question: str, says: str) -> None:
    page.fill("#question", question)
    page.click("#ask button")
    page.wait_for_selector("#answer .problem")
    assert says in page.inner_text("#answer .problem")


def test_the_apis_documentation_is_drawn(page: Any, url: str) -> None:
    page.goto(url + "/docs")
    page.wait_for_selector(".opblock")
    assert "/api/v1/authors/top" in page.inner_text("#swagger-ui")


def test_what_users_write_is_never_markup(page: Any) -> None:
    page.fill("#author", "<img src=x>")
    page.click("#author-form button")
    page.wait_for_function("document.querySelector('#author-facts').textContent.length > 0")
    assert page.query_selector("#author-facts img") is None


def test_top_authors_by_another_order_and_time(page: Any) -> None:
    before = page.inner_text("#frame")
    page.click("#period label:has-text('7 days')")
    page.wait_for_function(
        "text => document.querySelector('#frame').textContent !== text", arg=before
    )
    with page.expect_response(lambda response: "sort=negative" in response.url):
        page.click("#sort label:has-text('Negative')")


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_nothing_to_scroll_sideways(browser: Any, url: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(url)
    page.wait_for_selector("#chart canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_everything_comes_from_the_service_and_has_a_label(page: Any, url: str) -> None:
    names = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert all(name.startswith((url, "data:")) for name in page.evaluate(names))
    unlabelled = """() => [...document.querySelectorAll('input, textarea, button')].filter(
        (e) => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.ariaLabel).length"""
    assert page.evaluate(unlabelled) == 0


def test_the_page_asks_for_no_markup_from_strings() -> None:
    folder = Path(__file__).parents[3] / "apps/tweet_sentiment/page"
    text = (folder / "app.js").read_text() + (folder / "index.html").read_text()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "onclick",
        "eval(",
    ):
        assert word not in text
