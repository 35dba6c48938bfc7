"""A contact as clients write it, and its one parsed form; used by create, update and send.

Clients in use write the same thing in several ways (a number as text, an empty PHP map as a
list, a tag as text), so the input model takes all of them and ``parse_contact`` settles on one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from viesti.sms.msisdn import parse_msisdn

# Bounds of one contact. They keep a row within a few pages of the database; no source gives
# numbers, so they are our own.
MAX_NAME_CHARS = 200
MAX_EMAIL_CHARS = 320
MAX_TAGS = 100
MAX_TAG_CHARS = 100
MAX_ATTRIBUTES = 200
MAX_ATTRIBUTE_NAME_CHARS = 100
MAX_ATTRIBUTES_OCTETS = 32_768
MAX_ATTRIBUTE_DEPTH = 5
MAX_NUMBER_CHARS = 64

_encode = msgspec.json.Encoder().encode

Scalar = str | int | float | bool


class MergeStrategy(enum.Enum):
    """What happens to a stored contact when its number is written again (product.md 5)."""

    APPEND = "append"
    CORE = "core"
    REMOVE = "remove"


class MobileInput(msgspec.Struct, rename="camel", gc=False):
    """``mobile`` as an object; the country is ISO 3166 alpha-2 and may be absent."""

    number: str | int | None = None
    country: str | None = None


class ContactInput(msgspec.Struct, rename="camel", gc=False):
    """A contact in a request; UNSET where the client did not name the field."""

    id: str | int | UnsetType | None = UNSET
    mobile: MobileInput | str | int | UnsetType | None = UNSET
    first_name: Scalar | UnsetType | None = UNSET
    last_name: Scalar | UnsetType | None = UNSET
    email: Scalar | UnsetType | None = UNSET
    attributes: dict[str, Any] | list[Any] | UnsetType | None = UNSET
    tags: list[Any] | str | UnsetType | None = UNSET
    # Ids or names, as texts or in objects; put to use by domain/lists.
    lists: Any = UNSET


# Structs rather than dataclasses: ten thousand are made in one call. None of them can be part of
# a cycle, so the collector need not look at them.
class ParsedContact(msgspec.Struct, frozen=True, gc=False):
    """A contact ready for storage.

    ``given`` names the fields that the client wrote (``first_name``, ``last_name``, ``email``,
    ``attributes``, ``tags``). A field that is not given is None or empty; a given text that is
    empty is ``""`` and clears what is stored.
    """

    mobile: str
    country: str
    first_name: str | None
    last_name: str | None
    email: str | None
    attributes: Mapping[str, Any]
    tags: tuple[str, ...]
    given: frozenset[str]


class ContactError(msgspec.Struct, frozen=True):
    """Why one contact cannot be used: CONT-001 (its number) or CONT-003 (another field)."""

    code: str
    description: str


class ContactFields(msgspec.Struct, frozen=True, gc=False):
    """The parsed fields beside the number; see ``ParsedContact``."""

    first_name: str | None
    last_name: str | None
    email: str | None
    attributes: Mapping[str, Any]
    tags: tuple[str, ...]
    given: frozenset[str]


BAD_NUMBER = ContactError("CONT-001", "The mobile number is not valid for its country.")
NO_NUMBER = ContactError("CONT-001", "The contact has no mobile number.")

_NOTHING: Mapping[str, Any] = {}
# Bit n of the key stands for the n-th name: the sets are made once, not once per contact.
_GIVEN_NAMES = ("first_name", "last_name", "email", "attributes", "tags")
_GIVEN = tuple(
    frozenset(name for bit, name in enumerate(_GIVEN_NAMES) if key >> bit & 1) for key in range(32)
)


def raw_mobile(contact: ContactInput) -> tuple[str, str]:
    """The number and country as written; empty where not given."""
    mobile = contact.mobile
    if isinstance(mobile, str):
        return mobile, ""
    if isinstance(mobile, MobileInput):
        number = mobile.number
        return ("" if number is None else str(number)), (mobile.country or "").strip().upper()
    if isinstance(mobile, int) and not isinstance(mobile, bool):
        return str(mobile), ""
    return "", ""


def parse_contact(contact: ContactInput, default_country: str) -> ParsedContact | ContactError:
    """The contact with its number in E.164, or why it cannot be used.

    ``default_country`` (ISO 3166 alpha-2) stands in where the contact names none. A null is
    taken as not given: bulk senders write it for columns that they do not have.
    """
    number, country = raw_mobile(contact)
    if not number:
        return NO_NUMBER
    if len(number) > MAX_NUMBER_CHARS:
        return BAD_NUMBER
    msisdn = parse_msisdn(number, country or default_country)
    if msisdn is None:
        return BAD_NUMBER
    fields = parse_fields(contact)
    if isinstance(fields, ContactError):
        return fields
    return ParsedContact(
        msisdn.e164,
        msisdn.country,
        fields.first_name,
        fields.last_name,
        fields.email,
        fields.attributes,
        fields.tags,
        fields.given,
    )


def parse_fields(
    contact: ContactInput, *, null_clears: bool = False
) -> ContactFields | ContactError:
    """The fields beside the number, or why they cannot be stored (CONT-003).

    ``null_clears``: whether a null counts as an explicit empty value (an update) or as not
    given (a create or a send).
    """
    given = 0
    first_name = last_name = email = None
    attributes, tags = _NOTHING, ()
    value = contact.first_name
    if value is not UNSET and (value is not None or null_clears):
        first_name, given = _text(value), given | 1
        if len(first_name) > MAX_NAME_CHARS:
            return _too_long("firstName", MAX_NAME_CHARS)
    value = contact.last_name
    if value is not UNSET and (value is not None or null_clears):
        last_name, given = _text(value), given | 2
        if len(last_name) > MAX_NAME_CHARS:
            return _too_long("lastName", MAX_NAME_CHARS)
    value = contact.email
    if value is not UNSET and (value is not None or null_clears):
        email, given = _text(value), given | 4
        if len(email) > MAX_EMAIL_CHARS:
            return _too_long("email", MAX_EMAIL_CHARS)
    if contact.attributes is not UNSET and (null_clears or contact.attributes is not None):
        parsed = _attributes(contact.attributes)
        if isinstance(parsed, ContactError):
            return parsed
        attributes, given = parsed, given | 8
    if contact.tags is not UNSET and (null_clears or contact.tags is not None):
        found = _tags(contact.tags)
        if isinstance(found, ContactError):
            return found
        tags, given = found, given | 16
    return ContactFields(first_name, last_name, email, attributes, tags, _GIVEN[given])


def _text(value: Scalar | UnsetType | None) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None or value is UNSET:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _too_long(field: str, limit: int) -> ContactError:
    return ContactError("CONT-003", f"{field} may have at most {limit} characters.")


def _attributes(value: dict[str, Any] | list[Any] | None) -> Mapping[str, Any] | ContactError:
    if not value:
        return _NOTHING
    if isinstance(value, list):
        return ContactError("CONT-003", "attributes must be an object of names and values.")
    if len(value) > MAX_ATTRIBUTES:
        return ContactError("CONT-003", f"A contact may have at most {MAX_ATTRIBUTES} attributes.")
    octets = 0
    for name, item in value.items():
        if len(name) > MAX_ATTRIBUTE_NAME_CHARS:
            return _too_long("The name of an attribute", MAX_ATTRIBUTE_NAME_CHARS)
        if isinstance(item, str):
            octets += 4 * len(item)
        elif isinstance(item, (dict, list)):
            if _depth(cast("dict[str, Any] | list[Any]", item)) > MAX_ATTRIBUTE_DEPTH:
                return ContactError(
                    "CONT-003", f"attributes may be nested {MAX_ATTRIBUTE_DEPTH} deep at most."
                )
            octets += len(_encode(item))
        else:
            octets += 32
    if octets > MAX_ATTRIBUTES_OCTETS and len(_encode(value)) > MAX_ATTRIBUTES_OCTETS:
        return ContactError(
            "CONT-003", f"attributes may take at most {MAX_ATTRIBUTES_OCTETS} octets as JSON."
        )
    return value


def _depth(value: dict[str, Any] | list[Any]) -> int:
    """How deep ``value`` nests, counted no further than one past the limit."""
    level: list[Any] = [value]
    for depth in range(1, MAX_ATTRIBUTE_DEPTH + 2):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast("dict[str, Any]", item).values())
            elif isinstance(item, list):
                below.extend(cast("list[Any]", item))
        level = [item for item in below if isinstance(item, (dict, list))]
        if not level:
            return depth
    return MAX_ATTRIBUTE_DEPTH + 1


def clean_tag(tag: str) -> str:
    """A tag as it is stored: runs of white space are one space."""
    return " ".join(tag.split())


def _tags(value: list[Any] | str | None) -> tuple[str, ...] | ContactError:
    if not value:
        return ()
    found: dict[str, None] = {}
    items: list[Any] = value.split(",") if isinstance(value, str) else value
    for item in items:
        if isinstance(item, dict):
            item = cast("dict[str, Any]", item).get("tag", "")
        if not isinstance(item, str):
            return ContactError("CONT-003", "Each tag must be a text or an object with a tag.")
        tag = clean_tag(item)
        if len(tag) > MAX_TAG_CHARS:
            return _too_long("A tag", MAX_TAG_CHARS)
        if tag:
            found[tag] = None
    if len(found) > MAX_TAGS:
        return ContactError("CONT-003", f"A contact may have at most {MAX_TAGS} tags.")
    return tuple(found)
