"""An account grown big: fills one with contacts, conversations and texts by COPY, fast.

Used by the benchmarks that need one. Names repeat as names do: a few dozen common ones, and
rare ones of random syllables. One text in ten is a reply; the others lie in jobs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.db.binary import TextArray
from viesti.db.partitions import ensure_partitions
from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.counts import keep_count
from viesti.kit.clock import utc_now

FIRST = [
    "Ada",
    "Anna",
    "Bella",
    "Carlos",
    "Chen",
    "Daniel",
    "Elena",
    "Emma",
    "Fatima",
    "George",
    "Hannah",
    "Ingrid",
    "James",
    "Jonas",
    "Katherine",
    "Laura",
    "Liam",
    "Lucas",
    "Maria",
    "Mohammed",
    "Noah",
    "Olga",
    "Olivia",
    "Pierre",
    "Priya",
    "Robert",
    "Sofia",
    "Thomas",
    "Wei",
    "Yuki",
    "Zoe",
    "Aino",
    "Björn",
    "Dagny",
    "Eero",
    "Gloria",
    "Hector",
    "Ivan",
    "Jadwiga",
    "Kofi",
]
LAST = [
    "Lovelace",
    "Johansson",
    "Smith",
    "Garcia",
    "Müller",
    "Rossi",
    "Nguyen",
    "Kowalski",
    "Ivanova",
    "Obrien",
    "Fernandez",
    "Schmidt",
    "Dubois",
    "Andersen",
    "Taylor",
    "Virtanen",
    "Tanaka",
    "Silva",
    "Novak",
    "Haddad",
    "Okafor",
    "Patel",
    "Kim",
    "Lopez",
    "Moreau",
    "Walker",
    "Hughes",
    "Fischer",
    "Jensen",
    "Costa",
    "Berg",
    "Lindqvist",
    "Santos",
    "Weber",
    "Romano",
    "Petrov",
    "Sato",
    "Ali",
    "Khan",
]
SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "ke",
    "li",
    "mo",
    "nu",
    "pa",
    "re",
    "si",
    "to",
    "va",
    "we",
    "xi",
    "yo",
    "za",
    "bri",
    "cla",
    "dre",
    "flo",
    "gra",
]
WORDS = [
    "your",
    "order",
    "appointment",
    "code",
    "ready",
    "tomorrow",
    "thanks",
    "reply",
    "stop",
    "meeting",
    "invoice",
    "shipped",
]
JOB_SIZE = 10_000
DAYS = 90


@dataclass(slots=True)
class Stock:
    """The account, and what the mix draws its terms from."""

    account: UUID
    people: list[tuple[UUID, str, str, str]]
    conversations: list[UUID]
    messages: list[UUID]
    jobs: list[UUID]


def id_at(moment: datetime, rng: random.Random) -> UUID:
    """A UUIDv7 of ``moment``."""
    ms = int(moment.timestamp() * 1000)
    return UUID(
        int=(ms << 80) | (7 << 76) | (rng.getrandbits(12) << 64) | (2 << 62) | rng.getrandbits(62)
    )


def fill(conn: psycopg.Connection, contacts: int, messages: int, seed: int = 1) -> Stock:
    """An account of ``contacts`` people, each with one conversation, and ``messages`` texts.

    Names repeat as names do: a few hundred common ones, and rare ones of random syllables.
    """
    rng = random.Random(seed)
    now = utc_now()
    account = create_account(conn, name="Growth", balance_micros=10**12, now=now).id
    # Older months than the installation has partitions for.
    for month in range(DAYS // 30 + 2):
        ensure_partitions(conn, now - timedelta(days=30 * month))
    start = now - timedelta(days=DAYS)
    sender = id_at(start, rng)
    people: list[tuple[UUID, str, str, str]] = []
    threads: list[UUID] = []
    columns = "account_id, id, mobile, country, first_name, last_name, email, attributes, tags, created_at, updated_at"
    types = ["uuid", "uuid", "text", "text", "text", "text", "text", "jsonb", "text[]"] + [
        "timestamptz"
    ] * 2
    with copying(conn, "contacts", columns, types) as write:
        for n in range(contacts):
            moment = start + timedelta(days=DAYS / 2) * (n / contacts)
            first = rng.choice(FIRST) if rng.random() < 0.8 else rare(rng)
            last = rng.choice(LAST) if rng.random() < 0.6 else rare(rng)
            mobile = f"+1{rng.randrange(201, 990)}{2_000_000 + n}"
            mail = f"{first}.{last}{rng.randrange(1000)}@{rng.choice(LAST)}.example".lower()
            person = (id_at(moment, rng), mobile, first, last)
            people.append(person)
            tags = [
                tag
                for tag, share in (("customer", 0.3), ("vip", 0.01), (f"batch-{n // 5000}", 1))
                if rng.random() < share
            ]
            write(
                (
                    account,
                    person[0],
                    mobile,
                    "US",
                    first,
                    last,
                    mail if rng.random() < 0.7 else None,
                    psycopg.types.json.Jsonb({"plan": rng.choice(["gold", "silver"])}),
                    TextArray(tags),
                    moment,
                    moment,
                )
            )
    columns = "account_id, id, contact_id, sender_id, mobile, sender, created_at, updated_at"
    with copying(
        conn, "conversations", columns, ["uuid"] * 4 + ["text"] * 2 + ["timestamptz"] * 2
    ) as write:
        for n, person in enumerate(people):
            moment = start + timedelta(days=DAYS / 2) * (n / contacts)
            threads.append(id_at(moment, rng))
            write(
                (account, threads[-1], person[0], sender, person[1], "+12025550100", moment, moment)
            )
    return Stock(
        account,
        people,
        threads,
        *fill_messages(conn, account, sender, people, threads, messages, start, rng),
    )


def fill_messages(
    conn: psycopg.Connection,
    account: UUID,
    sender: UUID,
    people: list[Any],
    threads: list[UUID],
    count: int,
    start: datetime,
    rng: random.Random,
) -> tuple[list[UUID], list[UUID]]:
    """Texts in jobs of ``JOB_SIZE``; a tenth are replies. Some ids of messages, and all jobs'."""
    some: list[UUID] = []
    jobs: list[tuple[UUID, UUID, UUID, int, datetime]] = []
    columns = (
        "account_id, id, job_id, contact_id, conversation_id, sender_id, sender, mobile, outgoing, status,"
        " message, encoding, segments, price_micros, created_at, updated_at"
    )
    types = (
        ["uuid"] * 6
        + ["text"] * 2
        + ["bool"]
        + ["text"] * 3
        + ["int2", "int8"]
        + ["timestamptz"] * 2
    )
    with copying(conn, "messages", columns, types) as write:
        for low in range(0, count, JOB_SIZE):
            size = min(JOB_SIZE, count - low)
            moment = start + timedelta(days=DAYS) * (low / count)
            job = id_at(moment, rng)
            ids = sorted(
                id_at(moment + timedelta(seconds=rng.random() * 20), rng) for _ in range(size)
            )
            jobs.append((job, ids[0], ids[-1], size, moment))
            some.append(rng.choice(ids))
            at = rng.randrange(len(people))
            for n, one in enumerate(ids):
                person = people[(at + n) % len(people)]
                out = rng.random() < 0.9
                text = f"Hi {person[2]}, {' '.join(rng.choices(WORDS, k=8))}."
                status = (
                    rng.choices(["delivered", "sent", "error"], [90, 8, 2])[0]
                    if out
                    else "received"
                )
                write(
                    (
                        account,
                        one,
                        job if out else None,
                        person[0],
                        threads[(at + n) % len(people)],
                        sender,
                        "+12025550100",
                        person[1],
                        out,
                        status,
                        text,
                        "gsm7",
                        1,
                        32000,
                        moment,
                        moment,
                    )
                )
    for job, first, last, size, moment in jobs:
        conn.execute(
            "INSERT INTO jobs (account_id, id, template, type, requested, valid, first_message_id, last_message_id, created_at)"
            " VALUES (%s, %s, 'Hi', 'SMS', %s, %s, %s, %s, %s)",
            (account, job, size, size, first, last, moment),
        )
    return some, [job[0] for job in jobs]


class copying:  # noqa: N801 - reads as a statement
    """A binary COPY into ``table``; gives the function that writes a row."""

    def __init__(
        self, conn: psycopg.Connection, table: str, columns: str, types: list[str]
    ) -> None:
        self._copy = conn.cursor().copy(
            f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()
        )
        self._types = types

    def __enter__(self) -> Callable[[tuple[Any, ...]], None]:
        copy = self._copy.__enter__()
        copy.set_types(self._types)
        return copy.write_row

    def __exit__(self, *args: Any) -> None:
        self._copy.__exit__(*args)


def rare(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).capitalize()


def make_stock(conn: psycopg.Connection, contacts: int, messages: int) -> Stock:
    started = time.perf_counter()
    stock = fill(conn, contacts, messages)
    conn.commit()
    print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
    conn.autocommit = True
    # What autovacuum and the housekeeping do by themselves a minute later.
    for table in ("contacts", "conversations", "messages"):
        conn.execute(f"VACUUM (ANALYZE) {table}".encode())
    conn.autocommit = False
    for kind in ("contacts", "messages", "conversations"):
        keep_count(conn, stock.account, kind, utc_now() + timedelta(minutes=5))
    conn.commit()
    print(f"ready after {time.perf_counter() - started:.0f} s", flush=True)
    return stock


def find_stock(conn: psycopg.Connection) -> Stock | None:
    """What an earlier run filled, or None."""
    row = conn.execute("SELECT id FROM accounts WHERE name = 'Growth'").fetchone()
    if row is None:
        return None

    def some(statement: str) -> list[Any]:
        return conn.execute(statement.encode(), {"account": row[0]}, binary=True).fetchall()

    return Stock(
        row[0],
        some(
            "SELECT id, mobile, first_name, last_name FROM contacts WHERE account_id = %(account)s"
        ),
        [
            r[0]
            for r in some(
                "SELECT id FROM conversations WHERE account_id = %(account)s LIMIT 100000"
            )
        ],
        [r[0] for r in some("SELECT id FROM messages WHERE account_id = %(account)s LIMIT 10000")],
        [r[0] for r in some("SELECT id FROM jobs WHERE account_id = %(account)s")],
    )
