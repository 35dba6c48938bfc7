"""The many spellings of one contact, and the one form they are read into."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.domain.contacts.models import (
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTES_OCTETS,
    ContactError,
    ContactFields,
    ContactInput,
    ParsedContact,
    parse_contact,
    parse_fields,
)

NUMBER = "+13475550101"


def read(**body: Any) -> ContactInput:
    return msgspec.json.decode(msgspec.json.encode(body), type=ContactInput)


def parsed(country: str = "US", **body: Any) -> ParsedContact:
    contact = parse_contact(read(**body), country)
    assert isinstance(contact, ParsedContact)
    return contact


@pytest.mark.parametrize(
    ("mobile", "country", "e164"),
    [
        ("+13475550101", "US", NUMBER),
        ("13475550101", "US", NUMBER),
        ("13475550101", "GB", NUMBER),
        (13475550101, "US", NUMBER),
        ("(347) 555-0101", "US", NUMBER),
        ({"number": "07400 123456", "country": "GB"}, "US", "+447400123456"),
        ({"number": "07400 123456", "country": " gb "}, "US", "+447400123456"),
        ({"number": "07400 123456", "country": ""}, "GB", "+447400123456"),
        ({"number": "07400 123456", "country": None}, "GB", "+447400123456"),
        ({"number": 3475550101, "verified": "x"}, "US", NUMBER),
    ],
)
def test_a_number_is_read_from_each_form(mobile: Any, country: str, e164: str) -> None:
    assert parsed(country, mobile=mobile).mobile == e164


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mobile": None},
        {"mobile": ""},
        {"mobile": {}},
        {"mobile": {"country": "US"}},
        {"mobile": "12345"},
        {"mobile": "x" * 10_000},
        {"mobile": {"number": "07400 123456", "country": "ZZ"}},
        {"phone": NUMBER},
    ],
)
def test_a_contact_without_a_usable_number_is_refused(body: dict[str, Any]) -> None:
    error = parse_contact(read(**body), "US")
    assert isinstance(error, ContactError)
    assert error.code == "CONT-001"
    assert error.description


def test_only_what_was_given_counts_as_given() -> None:
    assert parsed(mobile=NUMBER).given == frozenset()
    contact = parsed(mobile=NUMBER, firstName="", lastName=" Lee ", email=None, tags=[])
    assert contact.given == {"first_name", "last_name", "tags"}
    assert (contact.first_name, contact.last_name, contact.email) == ("", "Lee", None)


def test_a_null_clears_in_an_update_and_is_nothing_elsewhere() -> None:
    given = read(firstName=None, attributes=None, tags=None)
    update, create = parse_fields(given, null_clears=True), parse_fields(given)
    assert isinstance(update, ContactFields)
    assert isinstance(create, ContactFields)
    assert update.given == {"first_name", "attributes", "tags"}
    assert update.first_name == ""
    assert create.given == frozenset()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["a", "b", "a"], ("a", "b")),
        ([{"tag": "a", "visible": False}, {"tag": " b  c "}, {}], ("a", "b c")),
        ("a, b,,", ("a", "b")),
        ([], ()),
        (["", " "], ()),
    ],
)
def test_tags_are_read_from_each_form(tags: Any, expected: tuple[str, ...]) -> None:
    assert parsed(mobile=NUMBER, tags=tags).tags == expected


def test_attributes_may_be_an_empty_list_and_are_bounded() -> None:
    assert parsed(mobile=NUMBER, attributes=[]).attributes == {}
    assert parsed(mobile=NUMBER, attributes={"a": {"b": [1]}}).attributes == {"a": {"b": [1]}}
    just = "x" * (MAX_ATTRIBUTES_OCTETS - len('{"a":""}'))
    assert parsed(mobile=NUMBER, attributes={"a": just})
    assert isinstance(
        parse_contact(read(mobile=NUMBER, attributes={"a": just + "x"}), "US"), ContactError
    )


@given(depth=st.integers(1, 12), wide=st.booleans())
def test_attributes_nest_as_deep_as_allowed_and_no_deeper(depth: int, wide: bool) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value, 2] if wide else {"k": value}
    outcome = parse_contact(read(mobile=NUMBER, attributes={"a": value}), "US")
    assert isinstance(outcome, ParsedContact) == (depth <= MAX_ATTRIBUTE_DEPTH)
