"""Write `tweets.txt`: 400 invented texts with the length and the dress of tweets.

``python benchmarks/corpus/make_tweets.py`` from the repository root. The same seed gives the same
file. Lengths are drawn from 5 to 50 words, about 18 on average; a third have a mention, a third a
hashtag, a quarter an emoji, a fifth a link.
"""

from __future__ import annotations

import random
import statistics
from pathlib import Path

SEED = 20
COUNT = 400
LENGTHS = (5, 50)

# fmt: off
PLACES = (
    "the harbour", "the old library", "our street", "platform four", "the new bakery",
    "the stadium", "my office", "the night bus", "the swimming hall", "that tiny cafe",
    "the lighthouse", "gate 22", "the farmers market",
)
THINGS = (
    "the new album", "this phone", "my bicycle", "the season finale", "the update",
    "the soup of the day", "the goalkeeper", "the choir", "the ferry", "our landlord",
    "the queue", "that headline", "the weather", "my sister's dog", "the wifi", "the match",
    "the exhibition", "the customer service", "the keynote", "my alarm clock",
)
GOOD = (
    "wonderful", "brilliant", "so kind", "better than I hoped", "a joy", "quick and friendly",
    "gorgeous", "worth every penny", "calm for once", "the best part of my week",
    "really well made", "funnier than last year",
)
BAD = (
    "a disaster", "broken again", "late as always", "far too loud", "a waste of money", "rude",
    "slower than ever", "overpriced and cold", "worse than last time", "really disappointing",
    "not what was promised",
)
FLAT = (
    "open until nine", "moving to the second floor", "on again tomorrow", "sold in three sizes",
    "due on Thursday", "repeated on Sunday morning", "the same as last year",
    "announced for next month", "about an hour long", "next to the post office",
)
OPENINGS = (
    "Honestly,", "Well,", "Just saw that", "So it turns out", "Can confirm that", "Reminder:",
    "Update:", "Not going to lie,", "I still think", "My colleagues say", "Somebody told me that",
    "Guess what,", "Today",
)
ENDINGS = (
    "and I will be back soon", "and nobody told us why", "but at least the sun is out",
    "so tell your friends", "and I cannot stop thinking about it",
    "which is what they said in spring", "so plan for that", "and we laughed all the way home",
    "so I went home early", "and that is all I know", "but who is counting", "and the kids agree",
    "see you there at eight", "while half of the town was watching", "as far as I can tell",
    "so please fix it", "and thank you to all who helped", "I have waited for this since March",
    "and now I need a nap",
)
NAMES = (
    "@maya_bakes", "@tomfromaccounts", "@portradio", "@nina_k", "@oldtownfc", "@thequietcoach",
    "@lee42",
)
TAGS = (
    "#MondayMood", "#RegattaWeek", "#NowPlaying", "#lunch", "#GameDay", "#SlowTravel", "#help",
    "#Tech", "#MyCity2",
)
EMOJI = (
    "😂", "😭", "❤️", "🔥", "🎉", "🙄", "👍", "😡", "🥰", "🤔",
)
# fmt: on
MARKS = ("!", "!!!", ".", "...", "?", " :)", " :(", "")


def clause(source: random.Random) -> str:
    """Return one plain sentence without its end."""
    verdict = source.choice(source.choice((GOOD, BAD, FLAT)))
    place = f" at {source.choice(PLACES)}" if source.random() < 0.5 else ""
    return f"{source.choice(THINGS)}{place} is {verdict}"


def tweet(source: random.Random) -> str:
    """Return one tweet of `LENGTHS` words."""
    low, high = LENGTHS
    wanted = min(high, max(low, round(source.lognormvariate(2.78, 0.5))))
    text = f"{source.choice(OPENINGS)} {clause(source)}"
    while len(text.split()) < wanted:
        text += f" {source.choice(ENDINGS)}{source.choice(MARKS)} {clause(source)}"
    words = text.split()[:wanted]
    words[-1] += source.choice(MARKS)
    if source.random() < 0.33:
        words[0] = source.choice(NAMES)
    if source.random() < 0.33:
        words[source.randrange(len(words) // 2, len(words))] = source.choice(TAGS)
    if source.random() < 0.25:
        words[-1] += f" {source.choice(EMOJI)}"
    if source.random() < 0.2:
        words.append(f"https://example.org/{source.randrange(36**5):x}")
    return " ".join(words)[:270]


def main() -> None:
    """Write the file and say what is in it."""
    source = random.Random(SEED)
    tweets: dict[str, None] = {}
    while len(tweets) < COUNT:
        tweets[tweet(source)] = None
    path = Path(__file__).with_name("tweets.txt")
    path.write_text("".join(f"{one}\n" for one in tweets))
    lengths = [len(one.split()) for one in tweets]
    mean = statistics.mean(lengths)
    print(f"{len(tweets)} tweets of {min(lengths)} to {max(lengths)} words, {mean:.1f} on average")


if __name__ == "__main__":
    main()
