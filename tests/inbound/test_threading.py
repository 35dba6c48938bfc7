"""Acceptance scenario 10: each pair of numbers has its own thread, which is closed and begun anew.

And who of a group has not read what came in.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.messaging_rig import HANDSET, SENDER, Rig
from viesti.domain.conversations.service import (
    close_conversation,
    get_conversation,
    list_conversations,
    mark_read,
)
from viesti.domain.conversations.views import conversation_view
from viesti.domain.groups.service import add_reader, create_group, move_sender, remove_reader
from viesti.domain.messages.queries import MessageFilter, list_messages
from viesti.domain.users.models import Role
from viesti.domain.users.service import add_user
from viesti.kit.clock import utc_now
from viesti.kit.errors import NotFound
from viesti.kit.ids import new_id

SECOND = "+12015550100"


def conversations(rig: Rig) -> list[dict[str, Any]]:
    """As clients see them, newest first."""
    with rig.pool.connection() as conn:
        page = list_conversations(conn, rig.account_id, 0, 100)
    return [conversation_view(row) for row in page.conversations]


def history(rig: Rig, conversation_id: str) -> list[str]:
    with rig.pool.connection() as conn:
        narrow = MessageFilter(conversation_id=conversation_id)
        page = list_messages(conn, rig.account_id, narrow, 0, 100)
    return [row.message for row in reversed(page.messages)]


def test_a_contact_that_writes_to_two_numbers_has_two_threads(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        rig.add_sender(conn, SECOND)
    rig.text("To A")
    rig.text("To B", destination=SECOND)
    to_b, to_a = conversations(rig)
    assert (to_a["phoneNumber"]["number"], to_b["phoneNumber"]["number"]) == (SENDER, SECOND)
    assert to_a["contact"]["id"] == to_b["contact"]["id"]
    for thread, text in ((to_a, "From A"), (to_b, "From B")):
        (message,) = rig.answer_in(UUID(thread["id"]), text).data["messages"]
        assert message["phoneNumber"] == thread["phoneNumber"]["number"]
        assert message["conversation"]["id"] == thread["id"]
    assert history(rig, to_a["id"]) == ["To A", "From A"]
    assert history(rig, to_b["id"]) == ["To B", "From B"]
    assert len(conversations(rig)) == 2


def test_near_simultaneous_texts_to_one_number_make_one_thread(rig: Rig) -> None:
    barrier = threading.Barrier(2)

    def write(text: str) -> None:
        barrier.wait()
        rig.take(rig.arrival(text, session_id=new_id()))

    threads = [threading.Thread(target=write, args=(text,)) for text in ("One", "Two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (only,) = conversations(rig)
    assert sorted(history(rig, only["id"])) == ["One", "Two"]
    assert rig.events().count("conversation-started") == 1
    assert rig.events().count("message-received") == 2


def test_a_closed_thread_stays_readable_and_the_next_text_starts_another(rig: Rig) -> None:
    rig.text("One")
    (first,) = conversations(rig)
    rig.answer_in(UUID(first["id"]), "Two")
    with rig.pool.connection() as conn:
        close_conversation(conn, rig.account_id, first["id"], utc_now())
    assert rig.events()[-1] == "conversation-closed"
    assert "closed" in conversations(rig)[0]
    rig.text("Three")
    assert rig.events()[-2:] == ["conversation-started", "message-received"]
    second, old = conversations(rig)
    assert old["id"] == first["id"]
    assert "closed" in old
    assert second["id"] != first["id"]
    assert "closed" not in second
    assert history(rig, first["id"]) == ["One", "Two"]
    assert history(rig, second["id"]) == ["Three"]


# Who has read


@pytest.fixture
def readers(rig: Rig) -> list[UUID]:
    """Two users who read the account's default group."""
    with rig.pool.connection() as conn:
        now = utc_now()
        users = [
            add_user(conn, account_id=rig.account_id, email=email, role=Role.SENDER, now=now).id
            for email in ("ada@example.org", "bob@example.org")
        ]
        for user in users:
            add_reader(conn, rig.account_id, str(rig.account_id), user, now)
    return users


def unread(rig: Rig) -> list[str]:
    return conversations(rig)[0]["unread"]


def read(rig: Rig, user: UUID) -> bool:
    with rig.pool.connection() as conn:
        return mark_read(conn, rig.account_id, conversations(rig)[0]["id"], user)


def test_a_text_that_came_in_is_unread_for_each_until_they_read_it(
    rig: Rig, readers: list[UUID]
) -> None:
    ada, bob = readers
    rig.text("One")
    assert unread(rig) == [str(ada), str(bob)]
    assert read(rig, ada) is True
    assert unread(rig) == [str(bob)]
    assert read(rig, ada) is False
    rig.answer_in(UUID(conversations(rig)[0]["id"]), "Ours changes nothing")
    assert unread(rig) == [str(bob)]
    assert read(rig, bob) is True
    assert unread(rig) == []
    rig.text("Two")
    assert unread(rig) == [str(ada), str(bob)]


def test_a_text_is_read_when_anybody_has_read_it(rig: Rig, readers: list[UUID]) -> None:
    rig.text("One")
    assert conversations(rig)[0]["lastMessage"]["read"] is False
    read(rig, readers[0])
    assert conversations(rig)[0]["lastMessage"]["read"] is True


def test_a_thread_in_which_nothing_came_in_is_unread_for_nobody(
    rig: Rig, readers: list[UUID]
) -> None:
    rig.send("Hello")
    assert unread(rig) == []
    assert read(rig, readers[0]) is False


def test_only_members_of_the_group_count_and_may_read(rig: Rig, readers: list[UUID]) -> None:
    ada, bob = readers
    rig.text("One")
    with rig.pool.connection() as conn:
        group = create_group(conn, rig.account_id, name="Sales", now=utc_now())
        move_sender(conn, rig.account_id, str(group.id), SENDER, utc_now())
    assert unread(rig) == []
    assert conversations(rig)[0]["group"] == {"id": str(group.id), "name": "Sales"}
    for who in (ada, new_id()):
        with pytest.raises(NotFound) as refusal:
            read(rig, who)
        assert refusal.value.code == "CONV-001"
    with rig.pool.connection() as conn:
        add_reader(conn, rig.account_id, str(group.id), bob, utc_now())
    assert unread(rig) == [str(bob)]
    read(rig, bob)
    with rig.pool.connection() as conn:
        remove_reader(conn, rig.account_id, str(group.id), bob, utc_now())
    assert unread(rig) == []


def test_who_joins_later_has_nothing_to_catch_up_on_that_was_read(
    rig: Rig, readers: list[UUID]
) -> None:
    ada, bob = readers
    rig.text("One")
    read(rig, ada)
    with rig.pool.connection() as conn:
        later = utc_now() + timedelta(seconds=5)
        eve = add_user(
            conn, account_id=rig.account_id, email="eve@example.org", role=Role.SENDER, now=later
        ).id
        add_reader(conn, rig.account_id, str(rig.account_id), eve, later)
    assert unread(rig) == [str(bob)]


def test_a_thread_that_nobody_has_read_is_unread_for_who_joins_later(rig: Rig) -> None:
    rig.text("One")
    assert unread(rig) == []
    with rig.pool.connection() as conn:
        now = utc_now()
        eve = add_user(
            conn, account_id=rig.account_id, email="eve@example.org", role=Role.SENDER, now=now
        ).id
        add_reader(conn, rig.account_id, str(rig.account_id), eve, now)
    assert unread(rig) == [str(eve)]


def test_an_unknown_or_foreign_thread_cannot_be_marked(rig: Rig, readers: list[UUID]) -> None:
    rig.text("One")
    mine = conversations(rig)[0]["id"]
    with rig.pool.connection() as conn:
        for account, thread in (
            (rig.account_id, str(new_id())),
            (rig.account_id, "nonsense"),
            (new_id(), mine),
        ):
            with pytest.raises(NotFound):
                mark_read(conn, account, thread, readers[0])
        assert get_conversation(conn, rig.account_id, mine).read_by == []
    assert HANDSET in str(conversations(rig)[0]["contact"])
