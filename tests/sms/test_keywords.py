"""Consent keywords: the word alone counts; the rest is at most a hint for a person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.keywords import (
    Keyword,
    find_keyword,
    is_reserved,
    is_yes,
    normalize_keyword,
    reads_like_opt_out,
    whole_word,
)

OPT_OUT = ["STOP", "CANCEL", "END", "OPTOUT", "OPT-OUT", "OPT OUT", "QUIT", "REVOKE", "UNSUBSCRIBE"]


@pytest.mark.parametrize("word", OPT_OUT)
@pytest.mark.parametrize(
    "shape", ["{}", " {} ", "{}.", "{}!!\n", "\t{} ?", "\u200b{}\ufeff", "{}\u2026"]
)
def test_opt_out_words_alone_in_any_case(word: str, shape: str) -> None:
    for spelled in (word, word.lower(), word.capitalize()):
        assert find_keyword(shape.format(spelled)) is Keyword.OPT_OUT


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        (" Stop ", Keyword.OPT_OUT),
        ("opt  out", Keyword.OPT_OUT),
        ("ＳＴＯＰ", Keyword.OPT_OUT),  # noqa: RUF001 - full-width letters
        ("start", Keyword.OPT_IN),
        ("Unstop.", Keyword.OPT_IN),
        ("help", Keyword.HELP),
        ("INFO?", Keyword.HELP),
        ("please stop", None),
        ("STOPPED", None),
        ("cancel please", None),
        ("stop it", None),
        ("STOP STOP", None),
        (".stop", None),
        ("", None),
        ("?", None),
        ("STOP" + " " * 10_000, Keyword.OPT_OUT),
        ("stop " * 10_000, None),
    ],
)
def test_whole_messages(text: str, keyword: Keyword | None) -> None:
    assert find_keyword(text) is keyword


@pytest.mark.parametrize(
    ("word", "keyword"),
    [
        *[(word, Keyword.OPT_OUT) for word in ("ARRET", "ARRÈT", "ARRÉT", "ARRÊT", "arrêt", "Arre\u0302t")],
        *[(word, Keyword.OPT_IN) for word in ("DEBUT", "DÉBUT", "DEBUTER", "débuter")],
        *[(word, Keyword.OPT_IN) for word in ("NONARRET", "NONARRÈT", "NONARRÉT", "nonarrêt")],
    ],
)  # fmt: skip
def test_french_words_count_on_toll_free_senders_only(word: str, keyword: Keyword) -> None:
    assert find_keyword(word, toll_free=True) is keyword
    assert find_keyword(word) is None


def test_an_account_adds_words_and_changes_none() -> None:
    extra = {normalize_keyword("basta!"): Keyword.OPT_OUT, "STOP": Keyword.OPT_IN}
    assert find_keyword("Basta", extra) is Keyword.OPT_OUT
    assert find_keyword("stop", extra) is Keyword.OPT_OUT


@pytest.mark.parametrize(
    "text",
    [
        "stop texting me",
        "Please stop",
        "STOP sending me these messages!",
        "don\u2019t text me again",
        "do not contact this number",
        "no more texts please",
        "take me off your list",
        "Remove me",
        "I want to opt out of this",
        "unsubscribe me from everything you have",
        "STOPALL",
        "leave me alone",
    ],
)
def test_wishes_for_silence_are_flagged(text: str) -> None:
    assert reads_like_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "STOPPED",
        "Hello",
        "",
        "the bus stop is closed today",
        "When does the shop close?",
        "My friend quit his job in spring",
        "Thanks, see you at the end of the week",
    ],
)
def test_ordinary_talk_is_not_flagged(text: str) -> None:
    assert not reads_like_opt_out(text)


@given(st.text(max_size=300))
def test_any_text_can_be_asked(text: str) -> None:
    find_keyword(text, toll_free=True)
    reads_like_opt_out(text)
    assert normalize_keyword(normalize_keyword(text)) == normalize_keyword(text)


def test_hostile_length_is_read_in_part_only() -> None:
    assert not reads_like_opt_out("stop " + "a " * 500_000 + "texting")
    assert find_keyword("\0" * 1_000_000) is None


@pytest.mark.parametrize("text", ["yes", "Y", " Yes! ", "YES\u2026"])
def test_a_yes_alone_is_a_yes(text: str) -> None:
    assert is_yes(whole_word(text) or "")


@pytest.mark.parametrize("text", ["yes please", "yeah", "yy", "", "y" * 100])
def test_nothing_else_is_a_yes(text: str) -> None:
    assert not is_yes(whole_word(text) or "")


@pytest.mark.parametrize("word", [*OPT_OUT, "START", "HELP", "INFO", "ARRÊT", "DEBUT", "YES", "Y"])
def test_words_that_mean_something_are_reserved(word: str) -> None:
    assert is_reserved(word)


@pytest.mark.parametrize("word", ["STOPALL", "STOP ALL", "NO MORE TEXTS", "UNSUBSCRIBE ME"])
def test_words_that_may_be_meant_as_a_stop_are_reserved(word: str) -> None:
    assert is_reserved(word)


@pytest.mark.parametrize("word", ["JOIN", "CLUB 7", "PIZZA", "STOPWATCH", "Ä"])
def test_other_words_are_free(word: str) -> None:
    assert not is_reserved(word)
