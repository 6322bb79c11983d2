"""Say what a text is that the model cannot judge, in words for the person who sent it.

Pure, standard library only. The model reads English; other scripts it cannot read at all, other
languages it would answer with confident nonsense.
"""

# ruff: noqa: RUF001 (signs as people write them)

from __future__ import annotations

import re

MAX_CHARACTERS = 500
"""A tweet has 280; names and links that the network does not count make it longer."""
MIN_FOREIGN_WORDS = 3
"""Words of one other language before we say that a text is not English ..."""
MAX_ENGLISH_RATIO = 0.25
"""... and how many of English there may be for each of them."""

_WORDLESS = re.compile(r"(?:@user|http\b|[\W\d_])*")
_MARKS = ".,;:!?…\"'()"
_FREQUENT = {
    "English": """the and you is it to of in on for i im my me we he she they this that was are
        be have has not dont with at just but all so what if can will your his her our out up now
        get new like good how an a or as from by go going got day today tomorrow see know time when
        who why its there here about one more love want think after before first last over off still
        been am were do did does""",
    "Spanish": """el los las una unos que del por para con pero como muy mi su es está esta estoy
        eres soy hoy mañana porque cuando donde todo nada más ya también gracias yo tú nos se lo al
        hay tengo quiero gusta me mi este esa eso le te""",
    "French": """le les des une du est pas que qui dans pour avec sur mais comme je il elle nous
        vous ils c'est cette ce ces mon ton son très bien aujourd'hui demain merci où quand tout
        plus aux et être""",
    "German": """der das und ist nicht ein eine ich du wir ihr sie mit auf für von dem den aber wie
        auch noch schon heute morgen sehr gut wenn dann immer kein keine mein dein zum zur bei""",
    "Portuguese": """os uma não que para com mas como muito meu minha seu sua você eu ele ela nós
        hoje amanhã porque quando tudo nada mais já também obrigado está estou são foi da""",
    "Italian": """il gli una che non per con ma come molto mio mia tuo sua sono sei oggi domani
        perché quando tutto niente più già anche grazie io noi della del nel questo questa""",
    "Dutch": """het een en niet dat voor met maar ook ik jij wij zij van naar zijn heb heeft vandaag
        morgen zeer goed als dan altijd geen mijn jouw deze dit wat nog wel""",
    "Indonesian": """yang dan di tidak ini itu untuk dengan aku kamu saya dia ke dari ada juga bisa
        sudah belum hari besok sama banget udah gak lagi kalau""",
    "Turkish": """bir ve bu için çok ne var yok ben sen biz siz değil gibi daha ama bugün yarın
        güzel kadar sonra şey""",
}
_FOREIGN = {name: frozenset(words.split()) for name, words in _FREQUENT.items()}
_ENGLISH = _FOREIGN.pop("English")


def refusal_as_written(text: str) -> str | None:
    """Return why a text as it came is not judged: empty, or too long; None: look further."""
    if not text or text.isspace():
        return "the text is empty: there is no opinion to read"
    if len(text) > MAX_CHARACTERS:
        return (
            f"the text has {len(text):,} characters, the limit is {MAX_CHARACTERS}: "
            "send one tweet per row"
        )
    return None


def refusal_as_read(normalised: str) -> str | None:
    """Return why a normalised tweet is not judged; None: it is.

    Refused are: links, names, digits and marks alone (pictures and emoticons are words by then: a
    heart alone is a clear opinion); letters mostly of another script; several frequent words of
    one other language and hardly any of English.
    """
    if _WORDLESS.fullmatch(normalised):
        return "the text has no words, only links, names or marks: there is no opinion to read"
    if not normalised.isascii() and _mostly_foreign_letters(normalised):
        return "the text is not in Latin letters: only English tweets can be judged"
    language = other_language(normalised)
    if language:
        return f"the text seems to be {language}: only English tweets can be judged"
    return None


def other_language(normalised: str) -> str | None:
    """Return the name of the language the text is surely in; None: English, or not sure."""
    used = {word.strip(_MARKS) for word in normalised.lower().split()}
    english = len(used & _ENGLISH)
    if len(used) < MIN_FOREIGN_WORDS or english > MAX_ENGLISH_RATIO * len(used):
        return None
    count, language = max((len(used & known), name) for name, known in _FOREIGN.items())
    return language if count >= max(MIN_FOREIGN_WORDS, english / MAX_ENGLISH_RATIO) else None


def _mostly_foreign_letters(text: str) -> bool:
    """Whether more than half of the letters are beyond Latin (basic, extended and additional)."""
    letters = [c for c in text.replace("@user", "").replace("http", "") if c.isalpha()]
    foreign = sum(1 for c in letters if c > "\u024f" and not "\u1e00" <= c <= "\u1eff")
    return 2 * foreign > len(letters)
