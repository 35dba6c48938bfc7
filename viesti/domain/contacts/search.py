"""Finds contacts by a part of a name, an e-mail address or a number: terms to SQL conditions.

Used by the contacts' filters. A condition comes in two renderings of one meaning: *indexed* also
names the tokens of the GIN index ``ix_contacts_search``, so that rare terms are found
without reading the account; *plain* looks at the columns alone, for walks along the key, where
working out a row's tokens again would cost more than the comparison.

The tokens are made by the SQL function ``contact_search`` (migration 0003): the octet trigrams of
the number's digits, the names in lower case and the e-mail address in upper case, one line
each, and the tags, all mixed with the account's id, so that no account reads another one's.
A name's beginning is found as what follows the end of a line or a space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import sql

# Shorter terms match beginnings (design, section 4).
SHORTEST_PART = 3

_TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")
_NOT_DIGITS = re.compile(r"[^0-9]+")
_LIKE_A_NUMBER = re.compile(r"[0-9+()\s./-]*[0-9][0-9+()\s./-]*", re.ASCII)

# The expression of the index, letter by letter, or the index is not used.
TOKENS = sql.SQL(
    "contact_search(c.account_id, c.mobile, c.first_name, c.last_name, c.email, c.tags)"
)
NEVER = sql.SQL("false")

Field = Literal["first_name", "last_name", "email", "names"]

_VALUES: dict[Field, sql.SQL] = {
    "first_name": sql.SQL("lower(c.first_name)"),
    "last_name": sql.SQL("lower(c.last_name)"),
    "names": sql.SQL("lower(concat_ws(' ', c.first_name, c.last_name))"),
    "email": sql.SQL("lower(c.email)"),
}


@dataclass(slots=True)
class Binder:
    """Collects the values of a statement under names of their own."""

    params: dict[str, Any] = field(default_factory=dict[str, Any])
    lists: int = 0  # how many lists the statement came to

    def bind(self, value: Any) -> sql.Placeholder:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return sql.Placeholder(name)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on ``contacts c``: what the columns must be, and the tokens that implies.

    The tokens stand beside the rest and never within it: only then does the index answer for
    them alone, and no row's tokens are worked out again.
    """

    plain: sql.Composable
    tokens: sql.Composable | None = None

    @property
    def indexed(self) -> sql.Composable:
        if self.tokens is None:
            return self.plain
        return sql.SQL("{} AND {}").format(self.tokens, self.plain)


def plain_condition(condition: sql.Composable) -> Condition:
    """A condition that no index of tokens helps with."""
    return Condition(condition)


def any_of(conditions: list[Condition]) -> Condition:
    """The conditions joined by OR; none: never true."""
    if not conditions:
        return plain_condition(NEVER)
    if len(conditions) == 1:
        return conditions[0]
    joiner = sql.SQL(" OR ")
    tokens = [one.tokens for one in conditions if one.tokens is not None]
    return Condition(
        sql.SQL("({})").format(joiner.join(one.plain for one in conditions)),
        sql.SQL("({})").format(joiner.join(tokens)) if len(tokens) == len(conditions) else None,
    )


def text_condition(where: Field, term: str, binder: Binder) -> Condition:
    """``term`` stands in the field, in any case; a short one begins it."""
    bound = binder.bind(term)
    value = _VALUES[where]
    # As the SQL function writes it.
    written = sql.SQL("upper(lower({}))" if where == "email" else "lower({})").format(bound)
    if len(term) >= SHORTEST_PART:
        # Compared by "<>", for the planner then takes the tokens' share as it stands.
        plain = sql.SQL("strpos({}, lower({})) <> 0").format(value, bound)
        return _by_tokens(_grams(written), plain)
    plain = sql.SQL("starts_with({}, lower({}))::int <> 0").format(value, bound)
    if where == "names":
        # Either name begins with it.
        plain = sql.SQL(
            "(starts_with(lower(c.first_name), lower({0})) IS TRUE"
            " OR starts_with(lower(c.last_name), lower({0})) IS TRUE)::int <> 0"
        ).format(bound)
    if len(term) < SHORTEST_PART - 1:
        return plain_condition(plain)
    starts = [_grams(sql.SQL("E'\\n' || {}").format(written))]
    if where != "email":
        starts.append(_grams(sql.SQL("' ' || {}").format(written)))
    tokens = [_having(start) for start in starts]
    return Condition(plain, sql.SQL("({})").format(sql.SQL(" OR ").join(tokens)))


def number_condition(term: str, binder: Binder) -> Condition:
    """The digits of ``term`` stand in the number, however it is written.

    A stored number has neither a trunk zero nor an international prefix of zeros, so what
    begins with zeros is also looked for without them.
    """
    digits = _NOT_DIGITS.sub("", _TRUNK_ZERO.sub("", term))
    return any_of([_digits_condition(variant, binder) for variant in _variants(digits) if variant])


def any_field_condition(term: str, binder: Binder) -> Condition:
    """``q``: the names, the e-mail address or the number."""
    conditions = [text_condition("names", term, binder), text_condition("email", term, binder)]
    if _LIKE_A_NUMBER.fullmatch(term):
        conditions.append(number_condition(term, binder))
    return any_of(conditions)


def tags_condition(tags: list[str], binder: Binder) -> Condition:
    """Each of ``tags`` is there."""
    bound = binder.bind(tags)
    return _by_tokens(
        sql.SQL("search_tags(%(account)s, {}::text[])").format(bound),
        sql.SQL("(c.tags @> {}::text[])::int <> 0").format(bound),
    )


def _variants(digits: str) -> list[str]:
    return list(dict.fromkeys((digits, digits.lstrip("0"))))


def _digits_condition(digits: str, binder: Binder) -> Condition:
    if len(digits) >= SHORTEST_PART:
        bound = binder.bind(digits)
        return _by_tokens(
            _grams(bound),
            sql.SQL("strpos(c.mobile, {}) <> 0").format(bound),
        )
    # The beginning of the number; its unique index is in order.
    above = sql.SQL("c.mobile >= {}").format(binder.bind(f"+{digits}"))
    if set(digits) == {"9"}:
        return Condition(above, above)  # the column's own index
    below = binder.bind(f"+{int(digits) + 1:0{len(digits)}d}")
    between = sql.SQL("({} AND c.mobile < {})").format(above, below)
    return Condition(between, between)


def _grams(text: sql.Composable) -> sql.Composable:
    return sql.SQL("search_grams(%(account)s, {})").format(text)


def _by_tokens(tokens: sql.Composable, plain: sql.Composable) -> Condition:
    return Condition(plain, _having(tokens))


def _having(tokens: sql.Composable) -> sql.Composable:
    return sql.SQL("{} @> {}").format(TOKENS, tokens)
