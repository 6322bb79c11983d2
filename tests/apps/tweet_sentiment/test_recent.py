"""What is remembered in memory for a minute."""

from __future__ import annotations

from apps.tweet_sentiment.recent import Recent
from apps.tweet_sentiment.record import Record
from tests.apps.tweet_sentiment.doubles import a_tweet, serving, url_of

ONE = Record(1, (0.0, 1.0, 0.0))
TWEET = a_tweet(20)


def test_the_oldest_goes_first_and_a_minute_is_enough() -> None:
    now = [0.0]
    recent = Recent(2, now=lambda: now[0])
    for key in "abc":
        recent.put(key, ONE)
    assert [recent.get(key) for key in "abc"] == [None, ONE, ONE]
    now[0] = 60
    assert recent.get("c") is None
    recent.put("c", ONE)
    assert recent.get("c") == ONE
    nothing = Recent(0)
    nothing.put("a", ONE)
    assert len(nothing) == 0


async def test_a_recent_answer_needs_no_store_and_is_forgotten_with_its_author() -> None:
    async with serving([TWEET]) as service:
        await service.by_url(url_of(TWEET))
        lookups = dict(service.parts.tally._stores[0].stats.lookups)
        assert (await service.by_url(url_of(TWEET))).json()["cached"]
        assert service.parts.tally._stores[0].stats.lookups == lookups
        for store in service.parts.tally._stores:
            await store.drain(5)
        forgotten = await service.parts.service.forget("ann")
        assert forgotten == 1
        assert not (await service.by_url(url_of(TWEET))).json()["cached"]
