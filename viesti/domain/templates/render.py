"""Templates: compiled once per send, rendered once per contact.

``domain/messages`` renders sends with it, the templates' API and the hub check and preview with
it. The language is the Handlebars core: fields, ``if``, ``unless``, ``else``, ``each``,
``with``, comments, and the helpers of ``helpers``. A compiled template holds no state but the
steps that its renderings may still take together, so threads may share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_handlebars import escape_expression

from viesti.domain.templates.engine import (
    MAX_STEPS_OF_ALL,
    OUTPUT,
    TOO_LONG,
    Meter,
    Piece,
    Program,
    find_plain_pieces,
    parse_template,
    refuse,
    render_program,
)
from viesti.domain.templates.helpers import MAX_OUTPUT_CHARACTERS, Mobile, text_of

CONTACT_FIELDS: Final = frozenset(
    {"id", "firstName", "lastName", "email", "mobile", "attributes", "tags"}
)

# What a template may read of a contact, by the API's names: the CONTACT_FIELDS, each optional.
# ``mobile`` is {"number", "country"} or the number alone, ``attributes`` a mapping, ``tags``
# a list of strings. Other keys are not seen.
ContactFields = Mapping[str, Any]

# Takes the contact and its attributes.
_Getter = Callable[[ContactFields, dict[str, Any]], object]


def _attributes_of(contact: ContactFields) -> dict[str, Any]:
    attributes = contact.get("attributes")
    if isinstance(attributes, dict):
        return cast("dict[str, Any]", attributes)
    if isinstance(attributes, Mapping):
        return dict(cast("Mapping[str, Any]", attributes))
    return {}


def _mobile_of(contact: ContactFields) -> Mobile | None:
    mobile = contact.get("mobile")
    if isinstance(mobile, str):
        return Mobile(number=mobile)
    return Mobile(cast("Mapping[str, Any]", mobile)) if isinstance(mobile, Mapping) else None


def _tags_of(contact: ContactFields) -> list[Any] | None:
    tags = contact.get("tags")
    return list(cast("list[Any]", tags)) if isinstance(tags, list | tuple) else None


def _root_of(contact: ContactFields) -> dict[str, Any]:
    """What names mean in a template: contact fields first, then custom attributes.

    ``contact.`` leads to the same names as none.
    """
    attributes = _attributes_of(contact)
    fields = {name: contact.get(name) for name in CONTACT_FIELDS}
    fields["mobile"] = _mobile_of(contact)
    fields["attributes"] = attributes
    fields["tags"] = _tags_of(contact)
    named = {**attributes, **fields}
    return {**named, "contact": named}


def _step_into(value: object, name: str) -> object:
    """As the engine does: only dicts and lists have anything inside."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).get(name)
    if isinstance(value, list):
        try:
            return cast("list[object]", value)[int(name)]
        except (ValueError, IndexError):
            return None
    return None


def _first_getter(name: str) -> _Getter:
    if name == "attributes":
        return lambda _contact, attributes: attributes
    if name == "mobile":
        return lambda contact, _attributes: _mobile_of(contact)
    if name == "tags":
        return lambda contact, _attributes: _tags_of(contact)
    if name in CONTACT_FIELDS:
        return lambda contact, _attributes: contact.get(name)
    return lambda _contact, attributes: attributes.get(name)


def _getter(path: tuple[str, ...]) -> _Getter:
    """How to read ``path`` without building the whole root for it."""
    if path[0] == "contact":
        if len(path) == 1:
            return lambda _contact, _attributes: None  # a contact has no text of its own
        path = path[1:]
    first, rest = _first_getter(path[0]), path[1:]
    if not rest:
        return first

    def deeper(contact: ContactFields, attributes: dict[str, Any]) -> object:
        value = first(contact, attributes)
        for name in rest:
            value = _step_into(value, name)
        return value

    return deeper


@dataclass(frozen=True, slots=True)
class Template:
    """A template that parsed, ready to render for any number of contacts and threads."""

    source: str
    _program: Program
    _escape: bool
    # Literals, and (getter, escaped) for fields; None if the template holds more than those.
    _plain: tuple[str | tuple[_Getter, bool], ...] | None
    _meter: Meter

    @property
    def is_plain(self) -> bool:
        """Whether the template is nothing but text and fields: the fast case."""
        return self._plain is not None

    def render(self, contact: ContactFields) -> str:
        """The text for one contact; what is missing renders empty.

        Raises Invalid TMPL-003 when it would exceed MAX_OUTPUT_CHARACTERS (4,000) or take more
        than the engine's bounded steps for this contact's data, or with those before it.
        """
        if self._plain is None:
            root = _root_of(contact)
            return render_program(self._program, root, self._meter, escape=self._escape)
        attributes = _attributes_of(contact)
        texts: list[str] = []
        size = 0
        for piece in self._plain:
            if isinstance(piece, str):
                texts.append(piece)
                continue
            value = piece[0](contact, attributes)
            text = value if isinstance(value, str) else text_of(value)
            size += len(text)
            if size > MAX_OUTPUT_CHARACTERS:
                raise refuse(OUTPUT, TOO_LONG)
            texts.append(escape_expression(text) if piece[1] else text)
        text = "".join(texts)
        if len(text) > MAX_OUTPUT_CHARACTERS:
            raise refuse(OUTPUT, TOO_LONG)
        return text


def _compile_piece(piece: Piece, *, escape: bool) -> str | tuple[_Getter, bool]:
    if isinstance(piece, str):
        return piece
    path, escaped = piece
    return _getter(path), escape and escaped


def compile_template(
    source: str, *, escape: bool = False, max_steps: int | None = MAX_STEPS_OF_ALL
) -> Template:
    """``source`` parsed and checked, once for all its contacts.

    ``escape`` makes two braces escape HTML (templates of type Web); in texts, two and three
    braces give the same. ``max_steps`` bounds its renderings together; None: not at all.

    Raises Invalid: TMPL-001 when it does not parse, TMPL-002 when it is longer than 4,000
    characters, deeper than 10, or uses what is not in the core; message and ``details`` hold
    line and column (from 1) where they are known.
    """
    program = parse_template(source)
    pieces = find_plain_pieces(program)
    plain = (
        tuple(_compile_piece(piece, escape=escape) for piece in pieces)
        if pieces is not None
        else None
    )
    return Template(source, program, escape, plain, Meter(max_steps))
