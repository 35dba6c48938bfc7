"""Each event type of the catalogue is recorded when it should be, seen over one account's life."""

from __future__ import annotations

from uuid import UUID

from tests.messaging_rig import HANDSET, Rig
from viesti.carriers.base import Verdict
from viesti.domain.contacts.models import ContactInput, MergeStrategy
from viesti.domain.contacts.service import create_contacts, delete_contact, update_contact
from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.conversations.service import close_conversation
from viesti.domain.lists.models import ListInput
from viesti.domain.lists.service import create_list
from viesti.events.catalogue import EventType
from viesti.kit.clock import utc_now

OTHER = "+13475550198"


def test_every_event_fires_at_its_moment(rig: Rig) -> None:
    seen: list[str] = []

    def fresh() -> list[str]:
        """What was recorded since the last look."""
        events = rig.events()
        new = events[len(seen) :]
        seen.extend(new)
        return new

    with rig.pool.connection() as conn:
        [row] = create_contacts(
            conn, rig.account_id, [ContactInput(mobile=OTHER)], MergeStrategy.APPEND, utc_now()
        ).results
    assert isinstance(row, ContactRow)
    assert fresh() == ["contact-created"]
    with rig.pool.connection() as conn:
        given = ContactInput(first_name="Ada")
        update_contact(conn, rig.account_id, str(row.id), given, utc_now())
    assert fresh() == ["contact-updated"]
    with rig.pool.connection() as conn:
        delete_contact(conn, rig.account_id, str(row.id), utc_now())
    assert fresh() == ["contact-removed"]

    message = rig.send_one("Hello")
    assert sorted(fresh()) == ["contact-created", "conversation-started"]
    [text] = rig.read()
    assert rig.start(text)
    assert fresh() == []  # it is only on its way
    rig.answer([(text, 0, Verdict.ACCEPTED, "abc1")])
    assert fresh() == ["message-sent"]
    rig.receipt("abc1")
    assert fresh() == ["message-status"]
    assert rig.status(message) == ("delivered", None)

    rig.text("Thanks")
    assert fresh() == ["message-received"]
    with rig.pool.connection() as conn:
        create_list(conn, rig.account_id, ListInput(name="Club", keyword="join"), utc_now())
    rig.text("Join")
    assert sorted(fresh()) == ["list-opt-in", "message-received"]
    rig.text("STOP")
    assert sorted(fresh()) == ["contact-opt-out", "list-opt-out", "message-received"]
    rig.send("Refused at once")
    assert fresh() == ["message-status"]
    rig.text("START")
    assert sorted(fresh()) == ["contact-opt-in", "message-received"]

    [(conversation,)] = rig.rows("SELECT id FROM conversations WHERE mobile = %s", HANDSET)
    with rig.pool.connection() as conn:
        close_conversation(conn, rig.account_id, str(UUID(str(conversation))), utc_now())
    assert fresh() == ["conversation-closed"]
    rig.text("Again")
    assert fresh() == ["conversation-started", "message-received"]
    rig.send("Start over", strategy="new")
    assert fresh() == ["conversation-closed", "conversation-started"]
    assert set(seen) == set(EventType)
