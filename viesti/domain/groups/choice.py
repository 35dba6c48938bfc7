"""Which sender a text leaves from where a group is asked for; used by sends and campaigns."""

from __future__ import annotations

from uuid import UUID

import psycopg

from viesti.domain.groups.models import GROUP_NOT_FOUND
from viesti.domain.senders.choice import SenderChoice, find_senders
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id


def get_sender_choice(
    conn: psycopg.Connection, account_id: UUID, group_id: str | None
) -> SenderChoice:
    """The choice among the account's senders, or among those of its group ``group_id``.

    A group that uses the shared pool falls back on the senders of the default group. Raises
    NotFound (GRP-001) for a group that the account does not have.
    """
    senders = find_senders(conn, account_id)
    if not group_id:
        return SenderChoice(senders)
    found = find_id(group_id)
    row = (
        conn.execute(
            "SELECT use_shared_pool FROM groups WHERE account_id = %s AND id = %s",
            (account_id, found),
        ).fetchone()
        if found
        else None
    )
    if row is None:
        raise NotFound("There is no such group.", GROUP_NOT_FOUND)
    own = [sender for sender in senders if sender.group_id == found]
    pool = [sender for sender in senders if sender.group_id == account_id] if row[0] else []
    return SenderChoice(senders, (own, pool))
