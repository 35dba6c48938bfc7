"""Attribute clauses of a filter: what clients write, and the condition it becomes.

Used by the contacts' filters, and by whoever takes filters from a client: the send, campaigns
and lists.
"""

from __future__ import annotations

import re

import msgspec
from psycopg import sql

from viesti.domain.contacts.search import Binder
from viesti.kit.errors import Invalid

_COMPARATORS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "<>"}
_OPERATORS = {
    "=": sql.SQL("="),
    "<": sql.SQL("<"),
    "<=": sql.SQL("<="),
    ">": sql.SQL(">"),
    ">=": sql.SQL(">="),
}
# A number as people write it, in either language; only the white space that a cast to numeric
# takes, for "\\s" takes more.
_NUMBER = r"[ \t\r\n]*-?[0-9]+(\.[0-9]+)?[ \t\r\n]*"
_IS_NUMBER = sql.SQL("c.attributes ->> ({name}) ~ '^" + _NUMBER + "$'")
_MAX_NUMBER_CHARS = 40


class AttributeFilter(msgspec.Struct, frozen=True):
    """One attribute clause; the base contract says ``name``, newer clients ``attribute``."""

    name: str | None = None
    attribute: str | None = None
    comparator: str = "="
    value: str | int | float | bool | list[str | int | float | bool] | None = None


class AttributeClause(msgspec.Struct, frozen=True):
    """One clause that was read: ``comparator`` is of SQL, the values are joined by OR
    (by AND for ``<>``: unequal to each)."""

    name: str
    comparator: str
    values: tuple[str, ...]


def read_attribute(written: AttributeFilter | str) -> AttributeClause:
    """The clause; a text is an object as JSON, or ``name=value``. Raises Invalid (GEN-400)."""
    if isinstance(written, str):
        try:
            written = msgspec.json.decode(written, type=AttributeFilter)
        except msgspec.MsgspecError as error:
            name, found, value = written.partition("=")
            if not found:
                raise Invalid("An attribute filter as text is written name=value.") from error
            written = AttributeFilter(name=name.strip(), value=value.strip())
    name = written.attribute or written.name
    if not name:
        raise Invalid("An attribute filter needs the attribute's name.")
    if written.comparator not in _COMPARATORS:
        raise Invalid("The comparator of an attribute filter is one of = != < <= > >=.")
    given = written.value if isinstance(written.value, list) else [written.value]
    values = tuple(
        str(value).lower() if isinstance(value, bool) else str(value)
        for value in given
        if value is not None
    )
    if not given or len(values) < len(given):
        raise Invalid("An attribute filter needs a value.")
    if any("\x00" in text for text in (name, *values)):
        raise Invalid("An attribute filter cannot hold a NUL character.")
    return AttributeClause(name, _COMPARATORS[written.comparator], values)


def attribute_condition(clause: AttributeClause, binder: Binder) -> sql.Composable:
    """Numeric when both sides are numbers, else by text; any of the values.

    A contact without the attribute is unequal to everything, equal to the empty text, and
    neither above nor below anything. Nor is a word above or below a number.
    """
    is_order = clause.comparator not in ("=", "<>")
    comparator = _OPERATORS["=" if clause.comparator == "<>" else clause.comparator]
    name = sql.SQL("{}::text").format(binder.bind(clause.name))
    stored = sql.SQL(
        "c.attributes ->> ({name})" if is_order else "COALESCE(c.attributes ->> ({name}), '')"
    ).format(name=name)

    def compares(values: list[str], left: sql.Composable, type_: sql.SQL) -> sql.Composable:
        return sql.SQL("{} {} ANY({}::{}[])").format(left, comparator, binder.bind(values), type_)

    text, numeric = sql.SQL("text"), sql.SQL("numeric")
    numbers = [value for value in clause.values if _is_number(value)]
    words = [value for value in clause.values if not _is_number(value)]
    if numbers:
        found = sql.SQL("CASE WHEN {} THEN {} OR {} ELSE {} END").format(
            _IS_NUMBER.format(name=name),
            compares(numbers, sql.SQL("(c.attributes ->> ({}))::numeric").format(name), numeric),
            compares(words, stored, text),
            compares(words if is_order else [*numbers, *words], stored, text),
        )
    else:
        found = compares(words, stored, text)
    return sql.SQL("NOT ({})" if clause.comparator == "<>" else "({})").format(found)


def _is_number(text: str) -> bool:
    return len(text) < _MAX_NUMBER_CHARS and re.fullmatch(_NUMBER, text) is not None
