"""Shows what a template becomes for a contact, as a send would make it; called by the API.

Nothing is written. Without a contact its fields are empty, and the account's country is charged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET, UnsetType

from viesti.domain.contacts.models import (
    ContactError,
    ContactInput,
    parse_contact,
    parse_fields,
    raw_mobile,
)
from viesti.domain.contacts.queries import get_contact
from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.contacts.views import error_view
from viesti.domain.messages.accept import get_wording
from viesti.domain.messages.draft import Draft, compose, merge_fields
from viesti.domain.messages.pricing import to_units
from viesti.domain.messages.states import Status
from viesti.domain.messages.terms import Terms, get_terms
from viesti.domain.templates.models import (
    BadTemplate,
    TemplateMedia,
    TemplateType,
    parse_media,
    parse_type,
)
from viesti.domain.templates.render import compile_template
from viesti.domain.templates.service import get_template
from viesti.kit.errors import Invalid
from viesti.kit.ids import new_id
from viesti.sms.alphabet import find_ucs2_characters


class PreviewRequest(msgspec.Struct, rename="camel"):
    """A stored template or the text of one; a stored contact or the fields of one."""

    template: str | UnsetType | None = UNSET
    template_id: str | None = None
    type: str | None = None
    media: list[TemplateMedia | str] | None = None
    contact_id: str | None = None
    contact: ContactInput | None = None


def preview(
    conn: psycopg.Connection, account_id: UUID, wanted: PreviewRequest, now: datetime
) -> dict[str, Any]:
    """``{message, type, segments, encoding, price, unicodeCharacters}``.

    The text is as it would leave: with media links, the first-message notice where it is due,
    and smart encoding where the account has it. What would fail for this contact alone (MSG-007,
    TMPL-003) stands in ``error``. A template of type Web gives ``message`` and ``type`` alone,
    with HTML escaped. Raises Invalid (TMPL-001, TMPL-002, TMPL-005, the contact's codes),
    NotFound (TMPL-004, CONT-002).
    """
    terms = get_terms(conn, account_id)
    text, kind, media = _find_template(conn, account_id, wanted)
    contact = _find_contact(conn, terms, wanted, now)
    if kind is TemplateType.WEB:
        page = compile_template(text, escape=True)
        return {"message": page.render(merge_fields(contact)), "type": kind.value}
    draft = Draft(new_id(), contact, None, Status.QUEUED)
    compose(draft, get_wording(conn, terms, text, media))
    view: dict[str, Any] = {
        "message": draft.text,
        "type": kind.value,
        "segments": draft.segments,
        "encoding": draft.encoding,
        "price": to_units(draft.price_micros),
        "unicodeCharacters": [
            {"character": character, "position": position}
            for position, character in find_ucs2_characters(draft.text)
        ],
    }
    if draft.error_code is not None:
        view["error"] = error_view(draft.error_code)
    return view


def _find_template(
    conn: psycopg.Connection, account_id: UUID, wanted: PreviewRequest
) -> tuple[str, TemplateType, list[dict[str, Any]]]:
    """Text, type and media; what the request gives stands for what is stored."""
    text, kind, media = "", TemplateType.SMS, list[dict[str, Any]]()
    if wanted.template_id:
        stored = get_template(conn, account_id, wanted.template_id)
        text, kind, media = stored.template, stored.type, stored.media
    if wanted.template is not UNSET and wanted.template is not None:
        text = wanted.template
    if wanted.type:
        kind = parse_type(wanted.type)
    if wanted.media is not None:
        media = parse_media(wanted.media)
    if not text.strip() and not media:
        raise BadTemplate("There is nothing to show: give a template or a templateId.")
    return text, kind, media


def _find_contact(
    conn: psycopg.Connection, terms: Terms, wanted: PreviewRequest, now: datetime
) -> ContactRow:
    if wanted.contact_id:
        return get_contact(conn, terms.id, wanted.contact_id)
    given = wanted.contact or ContactInput()
    if isinstance(given.id, str) and given.id and not raw_mobile(given)[0]:
        return get_contact(conn, terms.id, given.id)
    mobile, country = "", terms.default_country
    if raw_mobile(given)[0]:
        parsed = parse_contact(given, terms.default_country)
        if isinstance(parsed, ContactError):
            raise Invalid(parsed.description, parsed.code)
        mobile, country = parsed.mobile, parsed.country
    fields = parse_fields(given)
    if isinstance(fields, ContactError):
        raise Invalid(fields.description, fields.code)
    return ContactRow(
        new_id(),
        mobile,
        country,
        fields.first_name,
        fields.last_name,
        fields.email,
        dict(fields.attributes),
        list(fields.tags),
        None,
        None,
        now,
        now,
    )
