"""Which column of a file is what: the header of a contact file, understood; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from viesti.domain.contacts.models import MAX_ATTRIBUTE_NAME_CHARS, MAX_ATTRIBUTES
from viesti.domain.imports.charset import UNREADABLE
from viesti.kit.errors import Invalid

NO_MOBILE = "IMP-002"

# Each row is filled up to the header's width, so a header of nothing but commas would make a small
# file as heavy as a large one. Our own bound: five times what a contact may have.
MAX_COLUMNS = 1_000
# How much of a foreign header an error shows.
_SHOWN_NAMES = 10
_SHOWN_CHARS = 40

# Names as ``_plain`` leaves them. Of several that may be the number, the first here is it, and
# the others are attributes.
_MOBILE = ("mobile", "mobilenumber", "mobilephone", "cell", "cellphone", "phone", "phonenumber")
_KNOWN = {
    "country": "country",
    "firstname": "first_name",
    "lastname": "last_name",
    "email": "email",
    "emailaddress": "email",
    "tags": "tags",
    "tag": "tags",
}
# Consent comes from the handset, never from a file (product decisions, "mergeStrategy").
_CONSENT = frozenset(
    ("blocked", "optin", "optout", "optedin", "optedout", "optinat", "optoutat", "unsubscribed")
)
_FILLING = re.compile(r"[\s_\-]+")


class Columns(msgspec.Struct, frozen=True):
    """Positions of the columns, from 0; None: the file has no such column.

    ``attributes`` are position and name of each column that becomes an attribute. ``ignored``
    names the columns that are not read.
    """

    width: int
    mobile: int
    country: int | None = None
    first_name: int | None = None
    last_name: int | None = None
    email: int | None = None
    tags: int | None = None
    attributes: tuple[tuple[int, str], ...] = ()
    ignored: tuple[str, ...] = ()


def has_mobile(header: Sequence[str]) -> bool:
    """Whether ``header`` names a column of numbers."""
    return not {_plain(name) for name in header}.isdisjoint(_MOBILE)


def read_header(header: Sequence[str]) -> Columns:
    """The columns that ``header`` names, whatever the names' case, spaces, ``_`` and ``-``.

    Raises Invalid: IMP-002 without a column of mobile numbers, IMP-001 for names that stand
    twice or that no attribute may have, and for more than ``MAX_COLUMNS``.
    """
    if len(header) > MAX_COLUMNS:
        raise Invalid(
            f"The file has {len(header)} columns; it may have at most {MAX_COLUMNS}.", UNREADABLE
        )
    names = [name.strip() for name in header]
    plain = [_plain(name) for name in names]
    mobile = next((name for name in _MOBILE if name in plain), None)
    if mobile is None:
        raise Invalid(
            "The file has no column of mobile numbers. Its first row must name the columns, one"
            f" of them Mobile; it names {_listed(names)}.",
            NO_MOBILE,
        )
    known: dict[str, int] = {}
    attributes: dict[str, int] = {}
    ignored: list[str] = []
    for position, (name, word) in enumerate(zip(names, plain, strict=True)):
        if not name:
            ignored.append(f"(column {position + 1})")
        elif word in _CONSENT:
            ignored.append(name)
        elif word == mobile or word in _KNOWN:
            _place(known, "mobile" if word == mobile else _KNOWN[word], name, position)
        else:
            _check_attribute(name)
            _place(attributes, name, name, position)
    if len(attributes) > MAX_ATTRIBUTES:
        raise Invalid(
            f"The file has {len(attributes)} columns of attributes; a contact may have at most"
            f" {MAX_ATTRIBUTES}.",
            UNREADABLE,
        )
    return Columns(
        width=len(names),
        attributes=tuple((position, name) for name, position in attributes.items()),
        ignored=tuple(ignored),
        mobile=known["mobile"],
        country=known.get("country"),
        first_name=known.get("first_name"),
        last_name=known.get("last_name"),
        email=known.get("email"),
        tags=known.get("tags"),
    )


def _plain(name: str) -> str:
    return _FILLING.sub("", name).casefold()


def _place(places: dict[str, int], key: str, name: str, position: int) -> None:
    if key in places:
        raise Invalid(
            f"Columns {places[key] + 1} and {position + 1} are both the contact's"
            f" {_cut(name)}; rename or remove one.",
            UNREADABLE,
        )
    places[key] = position


def _check_attribute(name: str) -> None:
    if len(name) > MAX_ATTRIBUTE_NAME_CHARS or "\0" in name:
        raise Invalid(
            f"{_cut(name)!r} cannot be the name of an attribute: it may have at most"
            f" {MAX_ATTRIBUTE_NAME_CHARS} characters and no NUL.",
            UNREADABLE,
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(_cut(name) or "(nothing)" for name in names[:_SHOWN_NAMES])
    return shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")


def _cut(name: str) -> str:
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "..."
