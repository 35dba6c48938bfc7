"""Which tags an account does not show; written and read with its contacts.

Visibility belongs to a tag, not to a contact: the last word on it counts for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

import psycopg

from viesti.domain.contacts.models import ContactInput, clean_tag
from viesti.domain.contacts.upsert import ContactRow


def note_visibility(
    conn: psycopg.Connection, account_id: UUID, contacts: Iterable[ContactInput]
) -> None:
    """Remember what ``contacts`` say of their tags' visibility; tags without a word keep theirs."""
    said: dict[str, bool] = {}
    for contact in contacts:
        items: list[Any] = contact.tags if isinstance(contact.tags, list) else []
        for item in items:
            if isinstance(item, dict):
                entry = cast("dict[str, Any]", item)
                tag, visible = entry.get("tag"), entry.get("visible")
                if isinstance(tag, str) and isinstance(visible, bool):
                    said[clean_tag(tag)] = visible
    hidden = sorted(tag for tag, visible in said.items() if not visible)
    shown = [tag for tag, visible in said.items() if visible]
    if hidden:
        conn.execute(
            "INSERT INTO hidden_tags (account_id, tag) SELECT %s, unnest(%s::text[])"
            " ON CONFLICT DO NOTHING",
            (account_id, hidden),
        )
    if shown:
        conn.execute(
            "DELETE FROM hidden_tags WHERE account_id = %s AND tag = ANY(%s)", (account_id, shown)
        )


def find_hidden_tags(
    conn: psycopg.Connection, account_id: UUID, contacts: Iterable[ContactRow]
) -> set[str]:
    """Those of the contacts' tags that the account does not show."""
    tags = list({tag for contact in contacts for tag in contact.tags})
    if not tags:
        return set()
    return {
        record[0]
        for record in conn.execute(
            "SELECT tag FROM hidden_tags WHERE account_id = %s AND tag = ANY(%s)",
            (account_id, tags),
        )
    }
