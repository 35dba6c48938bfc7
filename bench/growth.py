"""Pages of a big account: ``python bench/growth.py [--contacts N] [--messages N] [--full]``.

One account is filled by COPY, then a fixed mix of list pages, filters and single reads runs
through the very functions that the API calls, one after the other, on an embedded PostgreSQL
with fsync on. Printed: the median and the 95th percentile of each kind of query and of the mix.

Aims at 1,000,000 contacts and 5,000,000 messages (``--full``): the mix within 30 ms at p95, a
single read within 5 ms, a page at offset 100,000 within 100 ms. What limits them: a page of a
term that very many contacts have is bound by reading the first 10,000 of them for the total; a
deep offset by stepping over what stands before it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from stage import machine
from stock import FIRST, Stock, find_stock, make_stock

from viesti.db.embedded import ensure_database
from viesti.db.migrate import migrate
from viesti.domain.contacts.filters import ContactFilter
from viesti.domain.contacts.queries import get_contact, list_contacts
from viesti.domain.conversations.service import list_conversations
from viesti.domain.messages.queries import MessageFilter, get_message, list_messages
from viesti.kit.config import Settings


def mix(
    stock: Stock, rng: random.Random
) -> Iterator[tuple[str, int, Callable[[psycopg.Connection], Any]]]:
    """The published mix: kinds of query with their share in a hundred, each with fresh terms."""
    account = stock.account

    def contacts(offset: int = 0, **narrow: Any) -> Callable[[psycopg.Connection], Any]:
        return lambda conn: list_contacts(conn, account, ContactFilter(**narrow), offset, 25)

    def messages(offset: int = 0, **narrow: Any) -> Callable[[psycopg.Connection], Any]:
        return lambda conn: list_messages(conn, account, MessageFilter(**narrow), offset, 25)

    person = rng.choice(stock.people)
    common, mobile, last = rng.choice(FIRST), person[1], person[3]
    yield "contacts, first pages", 12, contacts(rng.randrange(0, 500, 25))
    yield "contacts by part of a first name", 8, contacts(first_name=part(rng, common, 3))
    yield "contacts by part of a last name", 8, contacts(last_name=part(rng, last, 4))
    yield (
        "contacts by part of an e-mail",
        6,
        contacts(email=f"{person[2]}.{last}"[: rng.randint(4, 12)]),
    )
    yield (
        "contacts by a whole number",
        8,
        contacts(mobile=f"({mobile[2:5]}) {mobile[5:8]}-{mobile[8:]}"),
    )
    yield "contacts by the last four digits", 5, contacts(mobile=mobile[-4:])
    yield "contacts by q, a full name", 8, contacts(q=f"{person[2]} {last}")
    yield "contacts by q, three letters", 5, contacts(q=part(rng, last, 3))
    yield "contacts by q, two letters", 3, contacts(q=last[:2])
    yield "contacts by a rare tag", 4, contacts(tags=("vip",))
    yield "contacts by a common tag", 3, contacts(tags=("customer",))
    yield (
        "contacts by two tags and a name",
        3,
        contacts(tags=("customer", "vip"), first_name=common[:3]),
    )
    yield "messages, first pages", 10, messages(rng.randrange(0, 500, 25))
    yield (
        "messages of a conversation",
        6,
        messages(conversation_id=str(rng.choice(stock.conversations))),
    )
    yield "messages of a contact", 4, messages(contact_id=str(person[0]))
    yield "messages of a job", 3, messages(job_id=str(rng.choice(stock.jobs)))
    yield "messages by status", 2, messages(status="error")
    yield (
        "conversations, first pages",
        2,
        lambda conn: list_conversations(conn, account, rng.randrange(0, 500, 25), 25),
    )


def singles(
    stock: Stock, rng: random.Random
) -> Iterator[tuple[str, int, Callable[[psycopg.Connection], Any]]]:
    account, person = stock.account, rng.choice(stock.people)
    yield "one contact", 1, lambda conn: get_contact(conn, account, str(person[0]))
    yield "one message", 1, lambda conn: get_message(conn, account, str(rng.choice(stock.messages)))


def deep(
    stock: Stock, rng: random.Random
) -> Iterator[tuple[str, int, Callable[[psycopg.Connection], Any]]]:
    account, offset = stock.account, min(100_000, len(stock.people) // 2) + rng.randrange(100)
    yield (
        "contacts at offset 100,000",
        1,
        lambda conn: list_contacts(conn, account, ContactFilter(), offset, 25),
    )
    yield (
        "messages at offset 100,000",
        1,
        lambda conn: list_messages(conn, account, MessageFilter(), offset, 25),
    )
    yield (
        "conversations at offset 100,000",
        1,
        lambda conn: list_conversations(conn, account, offset, 25),
    )
    after = rng.choice(stock.people)[0]
    yield (
        "contacts, a step of a walk",
        1,
        lambda conn: list_contacts(conn, account, ContactFilter(), 0, 100, after),
    )


def part(rng: random.Random, text: str, size: int) -> str:
    start = rng.randint(0, max(0, len(text) - size))
    return text[start : start + size]


Plan = Callable[
    [Stock, random.Random], Iterator[tuple[str, int, Callable[[psycopg.Connection], Any]]]
]


def measure(
    conn: psycopg.Connection, stock: Stock, plan: Plan, title: str, aim_ms: float, rounds: int
) -> None:
    rng = random.Random(7)
    took: dict[str, list[float]] = {}
    weighted: list[float] = []
    for turn in range(rounds + 2):
        for name, share, ask in plan(stock, rng):
            started = time.perf_counter()
            ask(conn)
            conn.commit()
            ms = (time.perf_counter() - started) * 1000
            if turn >= 2:  # the first two warm the caches
                took.setdefault(name, []).append(ms)
                weighted += [ms] * share
    for name, times in took.items():
        print(f"  {name:36} p50 {statistics.median(times):7.1f} ms   p95 {p95(times):7.1f} ms")
    verdict = "met" if p95(weighted) <= aim_ms else "MISSED"
    print(
        f"{title}: p50 {statistics.median(weighted):.1f} ms, p95 {p95(weighted):.1f} ms (aim {aim_ms:.0f} ms: {verdict})"
    )


def p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--contacts", type=int, default=200_000)
    options.add_argument("--messages", type=int, default=1_000_000)
    options.add_argument(
        "--full", action="store_true", help="1,000,000 contacts and 5,000,000 messages"
    )
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument(
        "--data", type=Path, help="keep the filled database here, and use it again"
    )
    chosen = options.parse_args()
    if chosen.full:
        chosen.contacts, chosen.messages = 1_000_000, 5_000_000
    print(machine())
    with tempfile.TemporaryDirectory(prefix="viesti-bench-") as made:
        folder: Path = chosen.data or Path(made)
        folder.mkdir(exist_ok=True, parents=True)
        folder.chmod(0o711)
        with ensure_database(Settings(data_dir=folder / "data")) as database:
            migrate(database.direct_dsn)
            with psycopg.connect(database.dsn) as conn:
                stock = find_stock(conn) or make_stock(conn, chosen.contacts, chosen.messages)
                print(f"{chosen.contacts:,} contacts, {chosen.messages:,} messages")
                measure(conn, stock, singles, "single reads", 5, chosen.rounds)
                measure(conn, stock, deep, "deep pages", 100, chosen.rounds)
                measure(conn, stock, mix, "the mix", 30, chosen.rounds)


if __name__ == "__main__":
    main()
