"""viesti/inbound/lists.py: keywords of lists, double opt-in, and what an opt-out does to lists."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec import convert
from psycopg_pool import ConnectionPool

from tests.messaging_rig import HANDSET, PRICE_MICROS, Rig
from viesti.domain.lists.models import ListInput
from viesti.domain.lists.service import add_members, create_list
from viesti.domain.messages.models import FilterInput, SendRequest
from viesti.domain.messages.send import send_messages
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

OTHER_SENDER = "+12015550100"
PROMPT = "Reply YES to join the club."
WELCOME = "Welcome to the club!"


def make(rig: Rig, name: str = "Club", keyword: str = "JOIN", **more: Any) -> UUID:
    given = {"name": name, "keyword": keyword, "optInConfirmation": WELCOME, **more}
    with rig.pool.connection() as conn:
        return create_list(conn, rig.account_id, convert(given, ListInput), utc_now()).id


def make_double(rig: Rig, **more: Any) -> UUID:
    return make(rig, **{"doubleOptIn": {"enabled": True, "prompt": PROMPT}, **more})


def member(rig: Rig) -> tuple[datetime | None, datetime | None] | None:
    rows = rig.rows("SELECT opt_in_at, opt_out_at FROM list_members")
    assert len(rows) < 2
    return (rows[0][0], rows[0][1]) if rows else None


def is_in(rig: Rig) -> bool:
    found = member(rig)
    return found is not None and found[0] is not None and found[1] is None


def of_lists(rig: Rig) -> list[str]:
    return [kind for kind in rig.events() if kind.startswith("list-")]


def wait(rig: Rig, minutes: int) -> None:
    """As if ``minutes`` had gone by since everything that concerns lists."""
    back = f"- interval '{minutes} minutes'"
    rig.run(f"UPDATE list_prompts SET asked_at = asked_at {back}")
    rig.run(f"UPDATE list_members SET opt_in_at = opt_in_at {back}")


def send_to(rig: Rig, list_id: UUID) -> int:
    """How many contacts a send to the list meant."""
    request = SendRequest(filters=FilterInput(list_=str(list_id)), template=f"News {new_id()}")
    with rig.pool.connection() as conn:
        answer = send_messages(
            conn,
            rig.account_id,
            request,
            credential_id=new_id(),
            idempotency_key=None,
            body=b"",
            now=utc_now(),
        )
    return answer.data["requested"]


# One step


@pytest.mark.parametrize("text", ["JOIN", " join. ", "Join!", "jo\u200bin"])
def test_the_keyword_alone_opts_in_with_one_event_and_one_confirmation(rig: Rig, text: str) -> None:
    club = make(rig)
    taken = rig.take(rig.arrival(text.encode("utf-16-be"), data_coding=8))
    assert taken.lanes == [rig.lane_id]
    assert is_in(rig)
    assert rig.texts(outgoing=True) == [WELCOME]
    assert of_lists(rig) == ["list-opt-in"]
    [(facts, contact, thread)] = rig.rows(
        "SELECT facts, contact_id, conversation_id FROM events WHERE type = 'list-opt-in'"
    )
    assert (facts["list"]["id"], facts["list"]["name"]) == (str(club), "Club")
    assert "optIn" in facts["list"]
    assert rig.rows("SELECT id, contact_id FROM conversations") == [(thread, contact)]
    # The confirmation stands in the conversation of the keyword, and belongs to no job.
    assert rig.rows("SELECT DISTINCT conversation_id, job_id FROM messages") == [(thread, None)]
    rig.check_books()


@pytest.mark.parametrize("text", ["join us", "joined", "please join", "JO IN", "YES", "J" * 100])
def test_what_is_not_exactly_the_keyword_does_nothing(rig: Rig, text: str) -> None:
    make(rig)
    rig.text(text)
    assert member(rig) is None
    assert rig.texts(outgoing=True) == []
    assert of_lists(rig) == []


def test_a_second_keyword_changes_and_says_nothing(rig: Rig) -> None:
    make(rig)
    rig.take(rig.arrival("JOIN"), rig.arrival("join"))
    rig.text("JOIN")
    wait(rig, 60)
    before = member(rig)
    rig.text("Join")
    assert member(rig) == before
    assert rig.texts(outgoing=True) == [WELCOME]
    assert of_lists(rig) == ["list-opt-in"]
    assert len(rig.texts(outgoing=False)) == 4


def test_a_redelivered_keyword_counts_once(rig: Rig) -> None:
    make_double(rig)
    rig.text("JOIN")
    rig.text("JOIN", session_id=new_id())
    assert rig.texts(outgoing=True) == [PROMPT]
    yes = rig.arrival("YES")
    rig.take(yes)
    rig.take(yes)
    rig.text("YES", session_id=new_id())
    assert rig.texts(outgoing=True) == [PROMPT, WELCOME]
    assert of_lists(rig) == ["list-opt-in"]
    rig.check_books()


def test_simultaneous_keywords_opt_in_once(pool: ConnectionPool[psycopg.Connection]) -> None:
    rig = Rig(pool).set_up()
    make(rig)
    barrier = threading.Barrier(3)

    def join() -> None:
        barrier.wait()
        rig.text("JOIN", session_id=rig.session_id)

    threads = [threading.Thread(target=join) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rig.texts(outgoing=True) == [WELCOME]
    assert of_lists(rig) == ["list-opt-in"]
    rig.check_books()


def test_a_list_without_confirmation_opts_in_in_silence(rig: Rig) -> None:
    make(rig, optInConfirmation=None)
    rig.text("JOIN")
    assert is_in(rig)
    assert rig.texts(outgoing=True) == []


def test_who_was_added_by_hand_opts_in_by_keyword_too(rig: Rig) -> None:
    club = make(rig)
    rig.text("Hello")
    [(contact,)] = rig.rows("SELECT id FROM contacts")
    with rig.pool.connection() as conn:
        add_members(conn, rig.account_id, str(club), [str(contact)], utc_now())
    rig.text("JOIN")
    assert is_in(rig)
    assert of_lists(rig) == ["list-opt-in"]


def test_a_name_joins_nothing(rig: Rig) -> None:
    make(rig)
    rig.text("JOIN", source="ACME Bank")
    assert member(rig) is None


def test_another_accounts_keyword_means_nothing_here(
    rig: Rig, pool: ConnectionPool[psycopg.Connection]
) -> None:
    other = Rig(pool).set_up(OTHER_SENDER)
    make(other)
    rig.text("JOIN")
    assert member(rig) is None


def test_many_that_join_at_once_are_each_confirmed(rig: Rig) -> None:
    make(rig)
    numbers = [f"+1347555{n:04d}" for n in range(100, 130)]
    rig.take(*(rig.arrival("JOIN", source=number) for number in numbers))
    assert rig.texts(outgoing=True) == [WELCOME] * 30
    assert of_lists(rig) == ["list-opt-in"] * 30
    assert rig.rows("SELECT count(DISTINCT conversation_id) FROM messages") == [(30,)]
    rig.check_books()


# Double opt-in


@pytest.mark.parametrize("answer", ["YES", "y", " Yes! ", "Join"])
def test_double_opt_in_asks_first_and_takes_a_yes_or_the_keyword(rig: Rig, answer: str) -> None:
    club = make_double(rig)
    rig.text("JOIN")
    assert rig.texts(outgoing=True) == [PROMPT]
    assert member(rig) is None
    assert of_lists(rig) == []
    assert send_to(rig, club) == 0
    rig.text(answer)
    assert is_in(rig)
    assert rig.texts(outgoing=True) == [PROMPT, WELCOME]
    assert of_lists(rig) == ["list-opt-in"]
    assert send_to(rig, club) == 1
    rig.text(answer)
    assert of_lists(rig) == ["list-opt-in"]
    rig.check_books()


@pytest.mark.parametrize("answer", ["yes please", "no", "ok", "yesterday", "?"])
def test_another_answer_is_none(rig: Rig, answer: str) -> None:
    make_double(rig)
    rig.text("JOIN")
    rig.text(answer)
    assert member(rig) is None
    assert rig.texts(outgoing=True) == [PROMPT]


def test_a_yes_that_came_together_with_the_keyword_answers_nothing(rig: Rig) -> None:
    make_double(rig)
    rig.take(rig.arrival("JOIN"), rig.arrival("YES"), rig.arrival("JOIN"))
    assert member(rig) is None
    assert rig.texts(outgoing=True) == [PROMPT]


def test_a_yes_counts_within_24_hours(rig: Rig) -> None:
    make_double(rig)
    rig.text("JOIN")
    wait(rig, 24 * 60 + 1)
    rig.text("YES")
    assert member(rig) is None
    # The keyword asks again then.
    rig.text("JOIN")
    assert rig.texts(outgoing=True) == [PROMPT, PROMPT]
    rig.text("YES")
    assert is_in(rig)


def test_a_yes_counts_in_the_conversation_of_the_prompt_alone(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        rig.add_sender(conn, OTHER_SENDER)
    make_double(rig)
    rig.text("JOIN")
    rig.text("YES", destination=OTHER_SENDER)
    assert member(rig) is None
    # The keyword there is awaited there from now on, and is not asked for within 10 minutes.
    rig.text("JOIN", destination=OTHER_SENDER)
    assert rig.texts(outgoing=True) == [PROMPT]
    rig.text("YES")
    assert member(rig) is None
    rig.text("YES", destination=OTHER_SENDER)
    assert is_in(rig)
    sent_from = rig.rows("SELECT sender FROM messages WHERE outgoing ORDER BY id")
    assert sent_from[-1] == (OTHER_SENDER,)


def test_of_two_lists_a_yes_means_the_one_asked_about_last(rig: Rig) -> None:
    make_double(rig)
    news = make_double(rig, name="News", keyword="NEWS")
    rig.text("JOIN")
    rig.text("NEWS")
    rig.text("YES")
    assert rig.rows("SELECT list_id FROM list_members") == [(news,)]
    rig.text("YES")
    assert rig.rows("SELECT count(*) FROM list_members") == [(2,)]


def test_without_a_prompt_of_its_own_the_list_asks_in_the_usual_words(rig: Rig) -> None:
    make(rig, name="Club {{#if", doubleOptIn={"enabled": True})
    rig.text("JOIN")
    [asked] = rig.texts(outgoing=True)
    assert asked.startswith("Acme: Reply YES to join Club {#if.")
    assert "STOP" in asked


def test_the_texts_are_templates_of_the_contact(rig: Rig) -> None:
    make(rig, optInConfirmation="Welcome {{firstName}}!")
    rig.text("Hi")
    rig.run("UPDATE contacts SET first_name = 'Ada'")
    rig.text("JOIN")
    assert rig.texts(outgoing=True) == ["Welcome Ada!"]


def test_a_template_that_can_no_longer_be_read_does_not_stop_the_text(rig: Rig) -> None:
    make(rig)
    rig.run("UPDATE lists SET confirmation = '{{#if'")
    rig.text("JOIN")
    assert is_in(rig)
    assert rig.texts(outgoing=True) == []


# Loops


def test_a_machine_that_echoes_what_it_gets_is_asked_once_and_confirmed_once(rig: Rig) -> None:
    """The worst of them: it answers each text with the keyword and a yes."""
    make_double(rig)
    rig.text("JOIN")
    for _ in range(20):
        rig.text("JOIN")
        rig.text("YES")
    assert rig.texts(outgoing=True) == [PROMPT, WELCOME]


def test_in_and_out_again_is_asked_and_confirmed_once_in_ten_minutes(rig: Rig) -> None:
    make_double(rig)

    def round_trip() -> None:
        for word in ("JOIN", "YES", "STOP", "START"):
            rig.text(word)

    round_trip()
    round_trip()
    ours = (PROMPT, WELCOME)
    assert [text for text in rig.texts(outgoing=True) if text in ours] == [PROMPT, WELCOME]
    # Each change of consent is told all the same.
    assert of_lists(rig) == ["list-opt-in", "list-opt-out"] * 2
    wait(rig, 10)
    round_trip()
    assert [text for text in rig.texts(outgoing=True) if text in ours] == [PROMPT, WELCOME] * 2


# Account-wide consent, credit, the last word


def test_a_stop_leaves_every_list_once_and_a_start_joins_none(rig: Rig) -> None:
    club = make(rig)
    news = make(rig, name="News", keyword="NEWS")
    rig.text("JOIN")
    rig.text("NEWS")
    rig.text("STOP")
    rig.text("STOP")
    assert of_lists(rig) == ["list-opt-in"] * 2 + ["list-opt-out"] * 2
    facts = rig.rows("SELECT facts -> 'list' FROM events WHERE type = 'list-opt-out' ORDER BY id")
    assert [one["name"] for (one,) in facts] == ["Club", "News"]
    assert all("optOut" in one for (one,) in facts)
    rig.text("START")
    assert send_to(rig, club) == send_to(rig, news) == 0
    rig.text("JOIN")
    assert send_to(rig, club) == 1
    assert send_to(rig, news) == 0
    assert of_lists(rig)[4:] == ["list-opt-in"]


def test_a_stop_also_leaves_lists_that_others_put_the_contact_on(rig: Rig) -> None:
    club = make(rig)
    rig.text("Hello")
    [(contact,)] = rig.rows("SELECT id FROM contacts")
    with rig.pool.connection() as conn:
        add_members(conn, rig.account_id, str(club), [str(contact)], utc_now())
    assert send_to(rig, club) == 1
    rig.text("STOP")
    assert of_lists(rig) == ["list-opt-out"]
    rig.text("START")
    assert send_to(rig, club) == 0


def test_a_blocked_number_joins_nothing_and_hears_nothing(rig: Rig) -> None:
    make(rig)
    make_double(rig, name="News", keyword="NEWS")
    rig.text("STOP")
    said = len(rig.texts(outgoing=True))
    rig.text("JOIN")
    rig.text("NEWS")
    rig.text("YES")
    assert member(rig) is None
    assert len(rig.texts(outgoing=True)) == said
    rig.text("START")
    assert member(rig) is None


def test_a_yes_after_a_stop_answers_no_earlier_prompt(rig: Rig) -> None:
    make_double(rig)
    for word in ("JOIN", "STOP", "START", "YES"):
        rig.text(word)
    assert member(rig) is None


def test_a_stop_right_behind_the_keyword_has_the_last_word(rig: Rig) -> None:
    make(rig)
    rig.take(rig.arrival("JOIN"), rig.arrival("STOP"))
    assert not is_in(rig)
    assert WELCOME not in rig.texts(outgoing=True)
    assert of_lists(rig) == ["list-opt-in", "list-opt-out"]
    rig.check_books()


def test_a_confirmation_that_waits_does_not_leave_after_a_stop(rig: Rig) -> None:
    make(rig)
    rig.text("JOIN")
    [out] = rig.read()
    assert not out.consent_reply
    rig.text("STOP")
    assert not rig.start(out)
    assert rig.status(out.message_id) == ("error", "CONT-010")
    rig.check_books()


def test_without_credit_the_reply_waits_for_a_top_up(rig: Rig) -> None:
    make(rig)
    rig.run("UPDATE balances SET available_micros = %s", PRICE_MICROS - 1)
    rig.run("UPDATE ledger SET amount_micros = %s", PRICE_MICROS - 1)
    rig.text("JOIN")
    assert is_in(rig)
    assert rig.rows("SELECT status, error_code FROM messages WHERE outgoing") == [
        ("suspended", "ACCT-006")
    ]
    assert rig.balance() == (PRICE_MICROS - 1 - 8000, 0)
    rig.check_books()


def test_replies_go_first_and_are_no_duplicates(rig: Rig) -> None:
    club = make(rig)
    rig.text("JOIN")
    rig.run("DELETE FROM list_members WHERE list_id = %s", club)
    rig.text("JOIN")
    assert rig.texts(outgoing=True) == [WELCOME, WELCOME]
    assert len(rig.read(priority=0)) == 2
    assert rig.rows("SELECT count(*) FROM recent_texts WHERE mobile = %s", HANDSET) == [(0,)]


def test_the_first_reply_has_the_notice_of_the_account(rig: Rig) -> None:
    make_double(rig)
    rig.run("UPDATE accounts SET notice = true")
    rig.text("JOIN")
    rig.text("YES")
    first, second = rig.texts(outgoing=True)
    assert first.startswith(f"{PROMPT}\nWelcome to Acme")
    assert second == WELCOME


def test_a_disabled_account_says_nothing_and_loses_no_text(rig: Rig) -> None:
    make(rig)
    rig.run("UPDATE accounts SET disabled_at = now()")
    rig.text("JOIN")
    assert rig.texts(outgoing=False) == ["JOIN"]
    assert rig.texts(outgoing=True) == []


def test_a_list_that_got_a_filter_or_lost_its_keyword_is_joined_no_more(rig: Rig) -> None:
    make_double(rig)
    rig.text("JOIN")
    rig.run('UPDATE lists SET filter = \'{"tags": ["vip"]}\'')
    rig.text("YES")
    rig.text("JOIN")
    rig.run("UPDATE lists SET filter = NULL, keyword = 'CLUB'")
    rig.text("JOIN")
    assert member(rig) is None
