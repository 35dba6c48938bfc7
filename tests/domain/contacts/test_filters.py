"""Filters against a model of them in Python, on small random tables of two accounts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from viesti.domain.contacts import filters
from viesti.domain.contacts.filters import (
    ContactFilter,
    FilterInput,
    contact_ids,
    count_contacts,
    read_filter,
)
from viesti.kit.errors import Invalid
from viesti.kit.ids import new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALPHABET = ["a", "b", "A", "é", "É", "ß", " ", "1", "%", "_", "\\", "日", "-", "'", "."]
TAGS = ["vip", "VIP", "a b", "%"]


@dataclass(slots=True)
class Person:
    account: UUID
    mobile: str
    first: str | None
    last: str | None
    email: str | None
    tags: list[str]
    attributes: dict[str, Any]
    opted_in: bool
    blocked: bool
    deleted: bool
    id: UUID = field(default_factory=new_id)


def _word(rng: random.Random, most: int = 8) -> str | None:
    text = "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, most))).strip()
    return text or None


def _person(rng: random.Random, account: UUID, number: int) -> Person:
    return Person(
        account,
        f"+{rng.choice(['1', '44', '358'])}{rng.randrange(10**3):03d}{number:04d}",
        _word(rng),
        _word(rng),
        _word(rng, 90) if rng.random() < 0.5 else None,
        rng.sample(TAGS, rng.randint(0, 2)),
        rng.choice([{}, {"n": rng.randint(1, 12)}, {"n": "x", "p": True}, {"n": "3.50"}]),
        rng.random() < 0.3,
        rng.random() < 0.3,
        rng.random() < 0.1,
    )


def store(conn: psycopg.Connection, people: list[Person]) -> None:
    for one in people:
        conn.execute(
            "INSERT INTO contacts (account_id, id, mobile, first_name, last_name, email, tags,"
            " attributes, opted_in_at, deleted_at, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                one.account,
                one.id,
                one.mobile,
                one.first,
                one.last,
                one.email,
                one.tags,
                Jsonb(one.attributes),
                NOW if one.opted_in else None,
                NOW if one.deleted else None,
                NOW,
                NOW,
            ),
        )
        if one.blocked:
            conn.execute(
                "INSERT INTO opt_outs (account_id, mobile, at, source) VALUES (%s, %s, %s, 'person')"
                " ON CONFLICT DO NOTHING",
                (one.account, one.mobile, NOW),
            )


def _has(text: str | None, term: str) -> bool:
    text, term = (text or "").lower(), term.lower()
    return term in text if len(term) >= 3 else text.startswith(term)


def _has_number(mobile: str, term: str) -> bool:
    digits = re.sub("[^0-9]", "", re.sub(r"\(\s*0\s*\)", "", term))
    found = False
    for variant in {digits, digits.lstrip("0")} - {""}:
        stored = mobile[1:]
        found |= variant in stored if len(variant) >= 3 else stored.startswith(variant)
    return found


def matches(one: Person, narrow: ContactFilter) -> bool:
    """What ``ContactFilter`` promises, told again without SQL."""
    if narrow.q:
        names = " ".join(name for name in (one.first, one.last) if name)
        named = (
            _has(names, narrow.q)
            if len(narrow.q) >= 3
            else _has(one.first, narrow.q) or _has(one.last, narrow.q)
        )
        numbered = re.fullmatch(r"[0-9+()\s./-]*", narrow.q) is not None
        if not (
            named or _has(one.email, narrow.q) or (numbered and _has_number(one.mobile, narrow.q))
        ):
            return False
    return (
        (not narrow.first_name or _has(one.first, narrow.first_name))
        and (not narrow.last_name or _has(one.last, narrow.last_name))
        and (not narrow.email or _has(one.email, narrow.email))
        and (not narrow.mobile or _has_number(one.mobile, narrow.mobile))
        and set(narrow.tags) <= set(one.tags)
        and (narrow.ids is None or one.id in narrow.ids)
        and (not narrow.opt_in or one.opted_in)
        and (narrow.valid or not narrow.invalid)
        and (narrow.blocked == narrow.unblocked or narrow.blocked == one.blocked)
    )


def _part(rng: random.Random, text: str | None) -> str:
    if not text or rng.random() < 0.2:
        return _word(rng, 4) or ""
    start = rng.randrange(len(text))
    part = text[start : start + rng.randint(1, 6)].strip()
    return (
        part.swapcase() if rng.random() < 0.3 and part.swapcase().lower() == part.lower() else part
    )


def _filter(rng: random.Random, people: list[Person]) -> ContactFilter:
    one = rng.choice(people)
    name = " ".join(name for name in (one.first, one.last) if name)
    wanted: dict[str, Callable[[], Any]] = {
        "q": lambda: _part(rng, rng.choice([name, one.email, one.mobile])),
        "first_name": lambda: _part(rng, one.first),
        "last_name": lambda: _part(rng, one.last),
        "email": lambda: _part(rng, one.email),
        "mobile": lambda: rng.choice(["", "0", "(0)", "+"]) + _part(rng, one.mobile[1:]),
        "tags": lambda: tuple(rng.sample(TAGS, rng.randint(1, 2))),
        "ids": lambda: tuple(p.id for p in rng.sample(people, 5)),
        "blocked": lambda: True,
        "unblocked": lambda: True,
        "opt_in": lambda: True,
        "invalid": lambda: rng.random() < 0.1,
    }
    chosen = rng.sample(sorted(wanted), rng.choice([0, 1, 1, 1, 2, 3]))
    return ContactFilter(**{key: wanted[key]() for key in chosen})


@pytest.mark.parametrize("seed", range(4))
def test_filters_find_exactly_what_the_model_says(
    conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    mine, foreign = new_id(), new_id()
    people = [_person(rng, mine if n % 3 else foreign, n) for n in range(200)]
    store(conn, people)
    conn.execute("ANALYZE contacts")
    own = [one for one in people if one.account == mine and not one.deleted]
    for _ in range(150):
        narrow = _filter(rng, people)
        expected = sorted(one.id for one in own if matches(one, narrow))
        # Through the index, and along the key.
        for common, seqscan in ((10**9, "off"), (-1, "on")):
            monkeypatch.setattr(filters, "COMMON", common)
            conn.execute(f"SET enable_seqscan = {seqscan}".encode())
            conn.execute(f"SET enable_indexscan = {'on' if seqscan == 'on' else 'off'}".encode())
            found = contact_ids(conn, mine, narrow, None, 1000)
            assert found == expected, narrow
        assert count_contacts(conn, mine, narrow).total == len(expected)
        if len(expected) > 2:
            walked: list[UUID] = []
            while chunk := contact_ids(conn, mine, narrow, walked[-1] if walked else None, 2):
                walked += chunk
            assert walked == expected
            assert contact_ids(conn, mine, narrow, None, 9, until=expected[1]) == expected[:2]


def _read(**written: Any) -> ContactFilter:
    return read_filter(msgspec.convert(written, FilterInput))


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ({"name": "n", "value": "3.5"}, "3.50"),
        ({"attribute": "n", "comparator": "=", "value": [3.5, "x"]}, "3.50 x"),
        ({"attribute": "n", "comparator": ">", "value": 3}, "10 3.50 7"),
        ({"attribute": "n", "comparator": "<=", "value": "7"}, "3.50 7"),
        ({"attribute": "n", "comparator": ">", "value": "word"}, "x"),
        ({"attribute": "n", "comparator": "!=", "value": ["7", "x"]}, "- 10 3.50"),
        ({"attribute": "n", "value": ""}, "-"),
        ({"attribute": "p", "value": True}, "x"),
        ("n=10", "10"),
        ('{"attribute": "n", "comparator": ">=", "value": ["10"]}', "10"),
    ],
)
def test_attributes_compare_as_numbers_where_both_sides_are(
    conn: psycopg.Connection, clause: Any, expected: str
) -> None:
    account = new_id()
    values: list[dict[str, Any]] = [{}, {"n": 7}, {"n": 10}, {"n": "3.50"}, {"n": "x", "p": True}]
    people = [
        Person(account, f"+121220000{n}", None, None, None, [], value, False, False, False)
        for n, value in enumerate(values)
    ]
    store(conn, people)
    found = contact_ids(conn, account, _read(attributes=[clause]), None, 100)
    shown = {one.id: str(one.attributes.get("n", "-")) for one in people}
    assert " ".join(sorted(shown[one] for one in found)) == expected


@pytest.mark.parametrize(
    "stored", ["12\u3000", "12\u00a0", "12\x1f", "12\x85", "\u0661", " 12\n", ""]
)
@pytest.mark.parametrize("asked", ["3", " 3\t", "3\x1f", "1.", "-", "\u0663"])
@pytest.mark.parametrize("comparator", ["=", "!=", ">"])
def test_what_only_looks_like_a_number_is_a_text(
    conn: psycopg.Connection, stored: str, asked: str, comparator: str
) -> None:
    account = new_id()
    one = Person(account, "+12122000001", None, None, None, [], {"n": stored}, False, False, False)
    store(conn, [one])
    clause = {"name": "n", "comparator": comparator, "value": asked}
    found = contact_ids(conn, account, _read(attributes=[clause]), None, 100)
    are_numbers = stored == " 12\n" and asked.strip(" \t") == "3"
    is_word = asked.strip(" \t") != "3"
    above = are_numbers or (is_word and stored > asked)
    assert (found == [one.id]) == (above if comparator == ">" else comparator == "!=")


def test_lists_that_lead_to_lists_without_end_hold_nobody(conn: psycopg.Connection) -> None:
    account = new_id()
    store(conn, [Person(account, "+12122000001", None, None, None, [], {}, False, False, False)])
    ids = [str(new_id()) for _ in range(30)]
    for one in ids:
        conn.execute(
            "INSERT INTO lists (account_id, id, name, filter, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (account, one, one, Jsonb({"lists": ids}), NOW, NOW),
        )
    looks = count_statements(conn)
    assert contact_ids(conn, account, _read(lists=ids), None, 100) == []
    assert looks() <= filters.MAX_LISTS + 2


def count_statements(conn: psycopg.Connection) -> Callable[[], int]:
    """How many statements have been run on ``conn`` since."""
    made: list[str] = []
    run = conn.execute

    def noted(*given: Any, **more: Any) -> Any:
        made.append("")
        return run(*given, **more)

    conn.execute = noted  # type: ignore[method-assign]
    return lambda: len(made)


@pytest.mark.parametrize(
    "written",
    [
        {"attributes": ["nothing"]},
        {"attributes": [{"value": 1}]},
        {"attributes": [{"name": "a", "comparator": "~", "value": 1}]},
        {"attributes": [{"name": "a"}]},
        {"attributes": [{"name": "a", "value": []}]},
        {"attributes": [{"name": "a", "value": [1] * 1001}]},
        {"attributes": [{"name": "a\x00", "value": "1"}]},
        {"q": "a\x00"},
        {"q": "x" * 1001},
        {"tags": [1]},
        {"list": {"name": "without id"}},
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        _read(**written)


def test_the_many_spellings_of_a_filter() -> None:
    one = new_id()
    assert not _read(unknown=1, q=None, tags=None)
    assert _read(tags="a,  b  c").tags == _read(tags=[{"tag": "a"}, "b c"]).tags == ("a", "b c")
    assert _read(contacts=[str(one), {"id": str(one)}, "x"]).ids == (one, one)
    assert _read(list=str(one)).lists == _read(list={"id": str(one)}).lists == (str(one),)
    assert _read(lists=[{"id": "x"}, "y"]).lists == ("x", "y")
    assert _read(optIn=True, firstName=" Ada ") == ContactFilter(first_name="Ada", opt_in=True)
