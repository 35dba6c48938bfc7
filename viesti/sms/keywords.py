"""Consent keywords in inbound texts: opt-out, opt-in and help.

``inbound`` acts on ``find_keyword``, looks for a list's keyword in ``whole_word``, and flags a
conversation for a person when ``reads_like_opt_out``. Only the word alone counts: "please stop"
is no keyword.

Source of the words: product decisions (the carriers' list for US and Canadian long codes, and
the French words of the toll-free network).
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class Keyword(enum.Enum):
    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"
    HELP = "help"


_WORDS: Final[Mapping[str, Keyword]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "STOP",
                "CANCEL",
                "END",
                "OPTOUT",
                "OPT-OUT",
                "OPT OUT",
                "QUIT",
                "REVOKE",
                "UNSUBSCRIBE",
            ),
            Keyword.OPT_OUT,
        ),
        **dict.fromkeys(("START", "UNSTOP"), Keyword.OPT_IN),
        **dict.fromkeys(("HELP", "INFO"), Keyword.HELP),
    }
)
_TOLL_FREE_WORDS: Final[Mapping[str, Keyword]] = MappingProxyType(
    {
        **dict.fromkeys(("ARRET", "ARRÈT", "ARRÉT", "ARRÊT"), Keyword.OPT_OUT),
        **dict.fromkeys(
            (
                "DEBUT",
                "DÉBUT",
                "DEBUTER",
                "DÉBUTER",
                "NONARRET",
                "NONARRÈT",
                "NONARRÉT",
                "NONARRÊT",
            ),
            Keyword.OPT_IN,
        ),
    }
)

# Answers to a question of ours.
_YES: Final = frozenset({"YES", "Y"})

_NO_WORDS: Final[Mapping[str, Keyword]] = MappingProxyType({})

_LONGEST_KEYWORD: Final = 64  # characters, with everything around it; far above any word's need
_SPACES: Final = re.compile(r"\s+")
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff\0]")
_FINAL_PUNCTUATION: Final = " .,;:!?\u2026\u3002\u00a1\u00bf\"'\u2019\u201d\u00bb)"


def normalize_keyword(text: str) -> str:
    """``text`` as keywords are compared: upper case, one space between words, bare ends.

    White space around, invisible characters and final punctuation go; compatibility forms
    (full-width letters, combining accents) become their plain equals.
    """
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    plain = _SPACES.sub(" ", plain).strip().rstrip(_FINAL_PUNCTUATION)
    # Upper-casing can leave an accent decomposed, so it is composed again.
    return unicodedata.normalize("NFC", plain.upper())


def whole_word(text: str) -> str | None:
    """The whole of ``text`` as keywords are compared; None if it is too long to be one."""
    if len(text) > _LONGEST_KEYWORD:
        text = text.strip()
        if len(text) > _LONGEST_KEYWORD:
            return None
    return normalize_keyword(text)


def is_yes(word: str) -> bool:
    """Whether ``word``, as ``normalize_keyword`` gives it, says yes."""
    return word in _YES


def is_reserved(word: str) -> bool:
    """Whether ``word`` means something already, or may be meant so: no list can be joined by it."""
    return (
        is_yes(word) or find_keyword(word, toll_free=True) is not None or reads_like_opt_out(word)
    )


def find_keyword(
    text: str,
    extra_words: Mapping[str, Keyword] = _NO_WORDS,
    *,
    toll_free: bool = False,
) -> Keyword | None:
    """The keyword that the whole of ``text`` is, or None.

    ``extra_words`` are an account's own, spelled as ``normalize_keyword`` gives them; they add
    to the built-in words and never change one. ``toll_free`` adds the toll-free network's
    French words: say whether the text came to a toll-free sender.
    """
    word = whole_word(text)
    if word is None:
        return None
    found = _WORDS.get(word)
    if found is None and toll_free:
        found = _TOLL_FREE_WORDS.get(word)
    return found or extra_words.get(word)


# Longest text that is read for intent: what asks for silence says so early.
_LONGEST_INTENT: Final = 500
_SHORT_WORDS: Final = 4  # "stop please", "pls unsubscribe thanks"

_INTENT: Final = re.compile(
    r"\b(?:"
    r"(?:stop|quit|cease)\s+(?:\w+\s+){0,2}?"
    r"(?:texts?|texting|messages?|messaging|sms|contacting|sending|calling|spamming|bothering)"
    r"|(?:do\s+not|don'?t|never)\s+(?:\w+\s+){0,2}?(?:text|message|sms|contact|send|write)\b"
    r"|no\s+more\s+(?:\w+\s+)?(?:texts?|messages?|sms)"
    r"|(?:remove|delete|take)\s+(?:me|my\s+(?:number|name|contact)|this\s+number)\b"
    r"|opt(?:ing|ed)?(?:\s+me)?[\s-]*out"
    r"|unsubscribe|revoke\s+(?:my\s+)?consent|leave\s+me\s+alone|wrong\s+(?:number|person)"
    r")",
    re.IGNORECASE,
)
_BARE: Final = re.compile(
    r"\b(?:stop|stopall|unsubscribe|cancel|quit|revoke|opt-?out|arret|arrêt)\b", re.IGNORECASE
)


def reads_like_opt_out(text: str) -> bool:
    """Whether free text seems to ask for no more texts: a hint for a person, never a block.

    It errs towards yes. True for ``stop texting me`` and ``please stop``; False for a keyword's
    mere relative (``STOPPED``) and for ``the bus stop is closed today``.
    """
    plain = _SPACES.sub(" ", text[:_LONGEST_INTENT].replace("\u2019", "'"))
    if _INTENT.search(plain) is not None:
        return True
    return len(plain.split()) <= _SHORT_WORDS and _BARE.search(plain) is not None
