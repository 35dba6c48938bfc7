"""The group that events name: that of the sender, also after the sender moved."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import SENDER, Rig
from viesti.domain.groups.service import add_reader, create_group, move_sender
from viesti.domain.users.models import Role
from viesti.domain.users.service import add_user
from viesti.kit.clock import utc_now
from viesti.webhooks.payload import build_bodies
from viesti.webhooks.things import EventRow


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    return Rig(pool).set_up()


def payloads(rig: Rig) -> dict[str, dict[str, Any]]:
    """The payload of the last event of each type."""
    rows = rig.rows(
        "SELECT account_id, id, type, contact_id, conversation_id, message_id, facts, created_at"
        " FROM events ORDER BY id"
    )
    events = [EventRow(*row) for row in rows]
    with rig.pool.connection() as conn:
        bodies = build_bodies(conn, [rig.account_id], events)
    return {event.type: json.loads(bodies[event.id])["payload"] for event in events}


def put_sender_into(rig: Rig, name: str) -> UUID:
    with rig.pool.connection() as conn:
        group = create_group(conn, rig.account_id, name=name, now=utc_now())
        move_sender(conn, rig.account_id, str(group.id), SENDER, utc_now())
    return group.id


def test_events_name_the_senders_group(rig: Rig) -> None:
    rig.text("Hello")
    default = {"id": str(rig.account_id), "name": "Default"}
    told = payloads(rig)
    assert told["message-received"]["group"] == default
    assert told["message-received"]["conversation"]["group"] == default
    assert told["conversation-started"]["group"] == default
    sales = {"id": str(put_sender_into(rig, "Sales")), "name": "Sales"}
    told = payloads(rig)
    assert told["message-received"]["group"] == sales
    assert told["message-received"]["conversation"]["group"] == sales
    assert told["conversation-started"]["group"] == sales


def test_a_started_conversation_names_who_has_not_read_it(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        user = add_user(
            conn, account_id=rig.account_id, email="a@b.org", role=Role.SENDER, now=utc_now()
        ).id
        add_reader(conn, rig.account_id, str(rig.account_id), user, utc_now())
    rig.text("Hello")
    assert payloads(rig)["conversation-started"]["unread"] == [str(user)]
