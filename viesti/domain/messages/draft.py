"""A text between being asked for and being stored: merged, counted, priced, judged.

Used by ``send``: pure apart from what it is given, so that every recipient of a bulk call
takes microseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.messages.pricing import PriceTable
from viesti.domain.messages.states import Status
from viesti.domain.senders.choice import SenderRow
from viesti.domain.templates.render import Template
from viesti.kit.errors import ViestiError
from viesti.sms.segments import MAX_SEGMENTS, Encoding, count_segments, smart_encode

_GSM7, _UCS2 = Encoding.GSM7.value, Encoding.UCS2.value


# A struct rather than a dataclass: ten thousand are made in one call, in no cycle.
class Draft(msgspec.Struct, gc=False):
    """One message row to be; ``error_code`` is set when it will not leave."""

    id: UUID
    contact: ContactRow
    sender: SenderRow | None
    status: Status
    text: str = ""
    encoding: str = "gsm7"
    segments: int = 0
    price_micros: int = 0
    error_code: str | None = None
    conversation_id: UUID | None = None
    is_reply: bool = False
    not_before: datetime | None = None  # set when it waits for quiet hours to end

    def fail(self, code: str) -> None:
        """It stays as a row that says why; it costs nothing and never leaves."""
        self.status = Status.ERROR
        self.error_code = code
        self.price_micros = 0

    @property
    def text_hash(self) -> bytes:
        return hashlib.blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Wording:
    """What the texts of one call share."""

    template: Template
    media_urls: Sequence[str]
    notice: str  # appended for contacts that never opted in; empty: none
    smart: bool
    prices: PriceTable

    @property
    def reads_id(self) -> bool:
        """Whether the template may read the contact's id, which takes a while to spell."""
        return not self.template.is_plain or "id" in self.template.source


def compose(draft: Draft, wording: Wording) -> None:
    """Merge, count and price ``draft``; it fails with MSG-007 beyond the cap of segments."""
    contact = draft.contact
    try:
        text = wording.template.render(merge_fields(contact, with_id=wording.reads_id))
    except ViestiError as error:
        draft.fail(error.code)
        return
    # Carriers without MMS get the media as links, counted like any text (product decisions).
    for url in wording.media_urls:
        text = f"{text}\n{url}" if text else url
    if wording.notice and contact.opted_in_at is None and contact.noticed_at is None:
        text = f"{text}\n{wording.notice}"
    # PostgreSQL stores no NUL, and no handset shows one.
    if "\x00" in text:
        text = text.replace("\x00", "")
    if wording.smart:
        text = smart_encode(text)
    draft.text = text
    if not text.strip():
        draft.fail("MSG-011")
        return
    count = count_segments(text)
    draft.encoding = _GSM7 if count.encoding is Encoding.GSM7 else _UCS2
    draft.segments = count.segments
    if count.segments > MAX_SEGMENTS:
        draft.fail("MSG-007")
        return
    draft.price_micros = wording.prices.outbound(contact.country, count.segments)


def merge_fields(contact: ContactRow, *, with_id: bool = True) -> dict[str, Any]:
    """The contact as templates see it (product decisions, "templates")."""
    return {
        "id": str(contact.id) if with_id else "",
        "firstName": contact.first_name or "",
        "lastName": contact.last_name or "",
        "email": contact.email or "",
        "mobile": {"number": contact.mobile, "country": contact.country},
        "attributes": contact.attributes,
        "tags": contact.tags,
    }
