"""Which URLs are a tweet's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.tweet_sentiment.sources.tweet_url import NotATweetUrl, parse_tweet_url


@pytest.mark.parametrize(
    "url",
    [
        "https://twitter.com/ann/status/20",
        "https://x.com/ann/status/20",
        "https://X.COM/ann/status/20",
        "http://www.x.com/ann/status/20/",
        "https://mobile.twitter.com/ann/status/20",
        "https://mobile.x.com/ann/statuses/20",
        "https://m.twitter.com/ann/status/20",
        "https://x.com/i/web/status/20",
        "https://x.com/i/status/20",
        "https://x.com/ann/status/20?s=46&t=abc&utm_source=x",
        "https://x.com/ann/status/20#m",
        "https://x.com/ann/status/20/photo/1",
        "  https://x.com/ann/status/20\n",
        "https://x.com/ann/status/0020",
    ],
)
def test_a_tweet(url: str) -> None:
    assert parse_tweet_url(url) == "20"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://example.com/ann/status/20", "x.com or twitter.com"),
        ("https://x.com.evil.org/ann/status/20", "x.com or twitter.com"),
        ("https://evil.org/x.com/ann/status/20", "x.com or twitter.com"),
        ("https://evilx.com/ann/status/20", "x.com or twitter.com"),
        ("https://x.com@evil.org/ann/status/20", "x.com or twitter.com"),
        ("https://user:pw@x.com/ann/status/20", "x.com or twitter.com"),
        ("https://x.com:8443/ann/status/20", "x.com or twitter.com"),
        ("https://127.0.0.1/ann/status/20", "x.com or twitter.com"),
        ("ftp://x.com/ann/status/20", "https://"),
        ("file:///etc/passwd", "https://"),
        ("x.com/ann/status/20", "https://"),
        ("", "https://"),
        ("https://x.com/ann", "not of a tweet"),
        ("https://x.com/", "not of a tweet"),
        ("https://x.com/ann/likes", "not of a tweet"),
        ("https://x.com/ann/status/", "no tweet id"),
        ("https://x.com/ann/status", "no tweet id"),
        ("https://x.com/ann/status/abc", "no tweet id"),
        ("https://x.com/ann/status/20x", "no tweet id"),
        ("https://x.com/ann/status/-20", "no tweet id"),
        ("https://x.com/ann/status/0", "zero"),
        ("https://x.com/ann/status/9223372036854775808", "too large"),
        ("https://x.com/ann/status/" + "9" * 1000, "too large"),
        ("https://x.com/ann/status/२०", "characters"),
        ("https://x.com\\@evil.org/ann/status/20", "characters"),
        ("https://x.com/ann/status/20\u202e", "characters"),
        ("https://x.com/ann /status/20", "characters"),
        ("https://[x.com/ann/status/20", "not a URL"),
        ("https://x.com:port/ann/status/20", "not a URL"),
        ("https://x.com/ann/status/20?" + "a" * 3000, "longer"),
    ],
)
def test_not_a_tweet(url: str, why: str) -> None:
    with pytest.raises(NotATweetUrl, match=why):
        parse_tweet_url(url)


@given(st.text(max_size=80))
def test_any_text_is_refused_or_gives_digits(text: str) -> None:
    try:
        tweet_id = parse_tweet_url("https://x.com/ann/status/" + text)
    except NotATweetUrl:
        return
    assert tweet_id.isascii()
    assert 0 < int(tweet_id) < 2**63
