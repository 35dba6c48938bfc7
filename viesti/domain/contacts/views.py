"""Contacts as clients see them: pure functions from rows to the wire's shape.

Used by the API, by the send's answer and by the events that webhooks hear of. A declared field
without a value is left out, for typed clients refuse a null (api-current.md section 9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from viesti.kit.clock import iso
from viesti.kit.codes import describe

OPTED_OUT = "CONT-010"


class Identified(Protocol):
    """What names a contact inside a message or conversation."""

    @property
    def id(self) -> UUID: ...
    @property
    def mobile(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def first_name(self) -> str | None: ...
    @property
    def last_name(self) -> str | None: ...
    @property
    def email(self) -> str | None: ...


class Stored(Identified, Protocol):
    """A contact with everything that is shown of it; ``ContactRow`` is one."""

    @property
    def attributes(self) -> dict[str, Any]: ...
    @property
    def tags(self) -> list[str]: ...
    @property
    def opted_in_at(self) -> datetime | None: ...
    @property
    def blocked_at(self) -> datetime | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


def mobile_view(mobile: str, country: str) -> dict[str, Any]:
    return {"number": mobile, "country": country} if country else {"number": mobile}


def moment_view(moment: datetime) -> dict[str, str]:
    """The schema ``Updated``."""
    return {"at": iso(moment)}


def error_view(code: str, description: str | None = None) -> dict[str, str]:
    """An error inside a contact or message: its text is called ``description``."""
    return {"code": code, "description": description or describe(code)}


def identifiers_view(contact: Identified) -> dict[str, Any]:
    """The schema ``ContactIdentifiers``."""
    view: dict[str, Any] = {"id": str(contact.id)}
    if contact.first_name:
        view["firstName"] = contact.first_name
    if contact.last_name:
        view["lastName"] = contact.last_name
    if contact.email:
        view["email"] = contact.email
    view["mobile"] = mobile_view(contact.mobile, contact.country)
    return view


def tags_view(tags: Iterable[str], hidden: Collection[str] = ()) -> list[dict[str, Any]]:
    return [{"tag": tag, "visible": tag not in hidden} for tag in tags]


def contact_view(
    contact: Stored, hidden_tags: Collection[str] = (), lists: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The schema ``Contact``; ``hidden_tags`` are those that the account does not show.

    ``lists``: the views of those that it is on.
    """
    view = identifiers_view(contact)
    view["mobile"]["valid"] = True
    view["attributes"] = contact.attributes
    view["tags"] = tags_view(contact.tags, hidden_tags)
    if lists:
        view["lists"] = list(lists)
    view["valid"] = True
    if contact.blocked_at is not None:
        view["blocked"] = iso(contact.blocked_at)
        view["error"] = error_view(OPTED_OUT)
    if contact.opted_in_at is not None:
        view["optIn"] = iso(contact.opted_in_at)
    view["created"] = moment_view(contact.created_at)
    view["updated"] = moment_view(contact.updated_at)
    return view


def refused_view(
    number: str, country: str, code: str, description: str, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A contact that was not stored, with why; ``given`` are the client's own fields."""
    view: dict[str, Any] = dict(given or {})
    if number:
        view["mobile"] = {**mobile_view(number, country), "valid": False}
    view["valid"] = False
    view["error"] = error_view(code, description)
    return view
