"""Lists of contacts as clients write and see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from viesti.domain.contacts.filters import FilterInput, read_filter
from viesti.domain.contacts.views import moment_view
from viesti.domain.templates.render import compile_template
from viesti.kit.clock import iso
from viesti.kit.errors import Invalid
from viesti.sms.keywords import is_reserved, whole_word

BAD_KEYWORD = "LIST-003"
MAX_NAME_CHARS = 200
MAX_KEYWORD_CHARS = 40
MAX_TEXT_CHARS = 4000


class DoubleOptInInput(msgspec.Struct):
    enabled: bool = False
    prompt: str | None = None


class ListInput(msgspec.Struct, rename="camel"):
    """A list in a request; UNSET where the client did not name the field."""

    name: str | UnsetType | None = UNSET
    keyword: str | UnsetType | None = UNSET
    double_opt_in: DoubleOptInInput | UnsetType | None = UNSET
    opt_in_confirmation: str | UnsetType | None = UNSET
    # None: whoever was added. An empty PHP map arrives as a list.
    filter: FilterInput | list[Any] | UnsetType | None = UNSET


@dataclass(slots=True)
class ListRow:
    id: UUID
    name: str
    keyword: str | None  # as ``whole_word`` gives it
    prompt: str | None  # a template; None: no double opt-in, empty: the usual wording
    confirmation: str | None  # a template
    filter: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """That a contact was added to a list, and what it said of its own consent."""

    list_id: UUID
    name: str
    opt_in_at: datetime | None
    opt_out_at: datetime | None


def merge_list(row: ListRow, given: ListInput) -> None:
    """Change what was given. Raises Invalid (GEN-400, LIST-003, TMPL-001, TMPL-002)."""
    if given.name is not UNSET:
        row.name = " ".join((given.name or "").split())
    if not row.name or len(row.name) > MAX_NAME_CHARS or "\x00" in row.name:
        raise Invalid(f"A list needs a name of at most {MAX_NAME_CHARS} characters.")
    if given.keyword is not UNSET:
        row.keyword = _keyword(given.keyword)
    if given.opt_in_confirmation is not UNSET:
        row.confirmation = _template("optInConfirmation", given.opt_in_confirmation) or None
    if given.double_opt_in is not UNSET:
        double = given.double_opt_in
        asked = double is not None and double.enabled
        row.prompt = _template("prompt", double.prompt) if double and asked else None
    if given.filter is not UNSET:
        row.filter = _filter(given.filter)
    if row.filter is not None and row.keyword is not None:
        raise Invalid(
            "A list with a filter holds whom it matches: nobody joins it by a keyword.",
            BAD_KEYWORD,
        )


def list_view(row: ListRow) -> dict[str, Any]:
    """The schema ``List``."""
    view: dict[str, Any] = {
        "id": str(row.id),
        "name": row.name,
        "doubleOptIn": {"enabled": row.prompt is not None},
        "created": moment_view(row.created_at),
        "updated": moment_view(row.updated_at),
    }
    if row.prompt:
        view["doubleOptIn"]["prompt"] = row.prompt
    if row.keyword:
        view["keyword"] = row.keyword
    if row.confirmation:
        view["optInConfirmation"] = row.confirmation
    if row.filter is not None:
        view["filter"] = row.filter
    return view


def membership_view(member: Membership) -> dict[str, Any]:
    """A list inside a contact."""
    view: dict[str, Any] = {"id": str(member.list_id), "name": member.name}
    if member.opt_in_at is not None:
        view["optIn"] = iso(member.opt_in_at)
    if member.opt_out_at is not None:
        view["optOut"] = iso(member.opt_out_at)
    return view


def _filter(given: FilterInput | list[Any] | None) -> dict[str, Any] | None:
    if not isinstance(given, FilterInput):
        return None
    if not read_filter(given):
        raise Invalid("The filter of a list must narrow something, or it holds every contact.")
    written: dict[str, Any] = msgspec.to_builtins(given)
    return {name: value for name, value in written.items() if value is not None}


def _keyword(given: str | None) -> str | None:
    if not (given or "").strip():
        return None
    word = whole_word(given or "")
    if not word or len(word) > MAX_KEYWORD_CHARS:
        raise Invalid(
            f"A keyword needs letters or digits, at most {MAX_KEYWORD_CHARS} of them.", BAD_KEYWORD
        )
    if is_reserved(word):
        raise Invalid("The keyword is a word that consent needs; choose another.", BAD_KEYWORD)
    return word


def _template(name: str, given: str | None) -> str:
    text = (given or "").strip()
    if len(text) > MAX_TEXT_CHARS or "\x00" in text:
        raise Invalid(f"{name} may have at most {MAX_TEXT_CHARS} characters.")
    compile_template(text)
    return text
