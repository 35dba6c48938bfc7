"""A stored template, and how clients write one."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from viesti.kit.clock import iso
from viesti.kit.errors import Conflict, Invalid, NotFound

# Bounds of one template beside those of its text (engine); no source gives numbers but for the
# media, which are those of a message.
MAX_NAME_CHARS: Final = 200
MAX_TEMPLATES: Final = 10_000
MAX_MEDIA: Final = 10
MAX_URL_CHARS: Final = 2_000
MAX_MEDIA_FIELD_CHARS: Final = 200
# What stands for the name of a template that was given none: the contract requires no name.
DERIVED_NAME_CHARS: Final = 50


class TemplateNotFound(NotFound):
    default_code = "TMPL-004"


class BadTemplate(Invalid):
    default_code = "TMPL-005"


class TooManyTemplates(Conflict):
    default_code = "TMPL-006"


class TemplateType(enum.Enum):
    """The contract's two; only ``Web`` escapes HTML."""

    SMS = "SMS"
    WEB = "Web"


class TemplateMedia(msgspec.Struct, omit_defaults=True):
    """A file by its link; clients give the other fields back as they got them."""

    url: str | None = None
    type: str | None = None
    name: str | None = None
    filename: str | None = None


class TemplateInput(msgspec.Struct):
    """``TemplateRequest``; UNSET where the client did not name the field, as is null."""

    name: str | UnsetType | None = UNSET
    template: str | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    media: list[TemplateMedia | str] | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    id: UUID
    name: str
    template: str
    type: TemplateType
    media: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime


def parse_type(word: str) -> TemplateType:
    """Whatever its case. Raises BadTemplate."""
    for kind in TemplateType:
        if word.strip().lower() == kind.value.lower():
            return kind
    raise BadTemplate("type is SMS or Web.")


def parse_media(items: list[TemplateMedia | str]) -> list[dict[str, Any]]:
    """The media as they are stored. Raises BadTemplate for a link that cannot be one."""
    if len(items) > MAX_MEDIA:
        raise BadTemplate(f"A template takes at most {MAX_MEDIA} media items.")
    media: list[dict[str, Any]] = []
    for item in items:
        given = TemplateMedia(url=item) if isinstance(item, str) else item
        url = (given.url or "").strip()
        if not url.lower().startswith(("http://", "https://")) or len(url) > MAX_URL_CHARS:
            raise BadTemplate("Each media item needs a url that begins with http:// or https://.")
        rest = {"type": given.type, "name": given.name, "filename": given.filename}
        if any(value and len(value) > MAX_MEDIA_FIELD_CHARS for value in rest.values()):
            raise BadTemplate(
                f"A medium's type and names have at most {MAX_MEDIA_FIELD_CHARS} characters."
            )
        media.append({"url": url} | {name: value for name, value in rest.items() if value})
    return media


def template_view(template: StoredTemplate) -> dict[str, Any]:
    """The schema ``Template``."""
    return {
        "id": str(template.id),
        "name": template.name,
        "template": template.template,
        "type": template.type.value,
        "media": template.media,
        "created": {"at": iso(template.created_at)},
        "updated": {"at": iso(template.updated_at)},
    }
