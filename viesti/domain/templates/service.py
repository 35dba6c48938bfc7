"""Stores, lists, changes and deletes templates; called by the API and the hub.

The caller commits. A template is parsed when it is stored: one that is here renders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from msgspec import UNSET
from psycopg import sql
from psycopg.types.json import Jsonb

from viesti.domain.templates.models import (
    DERIVED_NAME_CHARS,
    MAX_NAME_CHARS,
    MAX_TEMPLATES,
    BadTemplate,
    StoredTemplate,
    TemplateInput,
    TemplateNotFound,
    TemplateType,
    TooManyTemplates,
    parse_media,
    parse_type,
)
from viesti.domain.templates.render import compile_template
from viesti.kit.ids import find_id, new_id

_SELECT: LiteralString = (
    "SELECT id, name, template, type, media, created_at, updated_at FROM templates"
    " WHERE account_id = %(account)s"
)


@dataclass(frozen=True, slots=True)
class TemplatePage:
    templates: list[StoredTemplate]
    total_count: int


def create_template(
    conn: psycopg.Connection, account_id: UUID, given: TemplateInput, now: datetime
) -> StoredTemplate:
    """A new template. One without a name is called by the beginning of its text.

    Raises Invalid: TMPL-001 and TMPL-002 with the place of what is wrong, TMPL-005 for a field
    that cannot be stored; TooManyTemplates (TMPL-006).
    """
    blank = StoredTemplate(new_id(), "", "", TemplateType.SMS, [], now, now)
    made = _apply(blank, given)
    count = conn.execute(
        "SELECT count(*) FROM templates WHERE account_id = %s", (account_id,)
    ).fetchone()
    if count and count[0] >= MAX_TEMPLATES:
        raise TooManyTemplates(
            f"An account may have {MAX_TEMPLATES:,} templates; delete one first."
        )
    conn.execute(
        "INSERT INTO templates (account_id, id, name, template, type, media, created_at,"
        " updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            account_id,
            made.id,
            made.name,
            made.template,
            made.type.value,
            Jsonb(made.media),
            now,
            now,
        ),
    )
    return made


def list_templates(
    conn: psycopg.Connection, account_id: UUID, name: str, offset: int, limit: int
) -> TemplatePage:
    """Templates whose name has ``name`` in it, whatever its case; oldest first."""
    clause: LiteralString = " AND name ILIKE %(name)s" if name else ""
    params: dict[str, Any] = {"account": account_id, "offset": offset, "limit": limit}
    if name:
        escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        params["name"] = f"%{escaped}%"
    count = conn.execute(
        sql.SQL("SELECT count(*) FROM templates WHERE account_id = %(account)s" + clause), params
    ).fetchone()
    total = int(count[0]) if count else 0
    if offset >= total:
        return TemplatePage([], total)
    rows = conn.execute(
        sql.SQL(_SELECT + clause + " ORDER BY id LIMIT %(limit)s OFFSET %(offset)s"), params
    ).fetchall()
    return TemplatePage([_row(row) for row in rows], total)


def get_template(
    conn: psycopg.Connection, account_id: UUID, template_id: str, *, lock: bool = False
) -> StoredTemplate:
    """One template of the account. Raises TemplateNotFound (TMPL-004)."""
    found = find_id(template_id)
    row = (
        conn.execute(
            _SELECT + " AND id = %(id)s" + (" FOR UPDATE" if lock else ""),
            {"account": account_id, "id": found},
        ).fetchone()
        if found
        else None
    )
    if row is None:
        raise TemplateNotFound("There is no such template.")
    return _row(row)


def update_template(
    conn: psycopg.Connection,
    account_id: UUID,
    template_id: str,
    given: TemplateInput,
    now: datetime,
) -> StoredTemplate:
    """The template with the given fields changed; those that are absent or null stay.

    Raises what ``create_template`` raises for its fields, and TemplateNotFound (TMPL-004).
    """
    stored = get_template(conn, account_id, template_id, lock=True)
    changed = _apply(stored, given)
    if changed == stored:
        return stored
    changed = replace(changed, updated_at=now)
    conn.execute(
        "UPDATE templates SET name = %s, template = %s, type = %s, media = %s, updated_at = %s"
        " WHERE account_id = %s AND id = %s",
        (
            changed.name,
            changed.template,
            changed.type.value,
            Jsonb(changed.media),
            now,
            account_id,
            changed.id,
        ),
    )
    return changed


def delete_template(conn: psycopg.Connection, account_id: UUID, template_id: str) -> None:
    """What was sent with it stays. Raises TemplateNotFound (TMPL-004)."""
    found = find_id(template_id)
    gone = conn.execute(
        "DELETE FROM templates WHERE account_id = %s AND id = %s", (account_id, found)
    )
    if not gone.rowcount:
        raise TemplateNotFound("There is no such template.")


def _apply(stored: StoredTemplate, given: TemplateInput) -> StoredTemplate:
    """``stored`` with the given fields, checked."""
    text, media, kind, name = stored.template, stored.media, stored.type, stored.name
    if given.type is not UNSET and given.type:
        kind = parse_type(given.type)
    if given.media is not UNSET and given.media is not None:
        media = parse_media(given.media)
    if given.template is not UNSET and given.template is not None:
        text = given.template
        compile_template(text)
    if not text.strip() and not media:
        raise BadTemplate("The template is empty: give it a text or media.")
    if given.name is not UNSET and given.name is not None:
        name = given.name.strip()
    if len(name) > MAX_NAME_CHARS:
        raise BadTemplate(f"A template's name has at most {MAX_NAME_CHARS} characters.")
    name = name or " ".join(text.split())[:DERIVED_NAME_CHARS] or str(media[0]["url"])
    return replace(stored, name=name[:MAX_NAME_CHARS], template=text, type=kind, media=media)


def _row(row: Sequence[Any]) -> StoredTemplate:
    return StoredTemplate(row[0], row[1], row[2], TemplateType(row[3]), *row[4:])
