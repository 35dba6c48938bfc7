"""An account with a carrier and a sender on a real database, and a dispatcher's hands.

Texts go out through the real send and the dispatcher's own statements; receipts and inbound
texts come in through ``take_arrivals``. Only the wire is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from viesti.carriers.arrivals import Arrival, Source, Taken
from viesti.carriers.base import Delivery, Receipt, ReceiptState, SubmitOutcome, Verdict
from viesti.dispatch.attempt import Start, start
from viesti.dispatch.claim import Cursor, Read, read_due
from viesti.dispatch.outcome import Attempt, commit_outcomes
from viesti.dispatch.texts import Text
from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.progress import advance
from viesti.domain.messages.send import send_messages
from viesti.domain.senders.service import add_sender
from viesti.events.catalogue import EventType
from viesti.inbound.handler import take_arrivals
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

HANDSET = "+13475550199"
SENDER = "+13475550101"
PRICE_MICROS = 32_000


@dataclass(slots=True)
class Rig:
    pool: ConnectionPool[psycopg.Connection]
    id_format: str = "same"
    receipts: str = "each"
    account_id: UUID = field(default_factory=new_id)
    carrier_id: UUID = field(default_factory=new_id)
    lane_id: UUID = field(default_factory=new_id)
    me: UUID = field(default_factory=new_id)
    session_id: UUID = field(default_factory=new_id)
    live_sessions: set[UUID] = field(default_factory=set)

    # Setting up

    def set_up(self, number: str = SENDER, balance_micros: int = 10_000_000) -> Rig:
        with self.pool.connection() as conn:
            now = utc_now()
            self.account_id = create_account(
                conn, name="Acme", balance_micros=balance_micros, now=now
            ).id
            name = f"carrier-{self.carrier_id.hex[:12]}"
            conn.execute(
                "INSERT INTO carriers (id, name, kind, settings, secret_encrypted, id_format,"
                " receipts, created_at, updated_at)"
                " VALUES (%s, %s, 'smpp', %s, '', %s, %s, %s, %s)",
                (self.carrier_id, name, Jsonb({}), self.id_format, self.receipts, now, now),
            )
            self.lane_id = self.add_sender(conn, number)
            conn.execute("DELETE FROM price_table")
            conn.execute(
                "INSERT INTO price_table (country, outbound_micros, inbound_micros)"
                " VALUES ('*', %s, 8000)",
                (PRICE_MICROS,),
            )
            webhook = (
                "INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted,"
                " created_at, updated_at) VALUES (%s, %s, 'http://127.0.0.1:1', %s, '', %s, %s)"
            )
            kinds = [kind.value for kind in EventType]
            conn.execute(webhook, (self.account_id, new_id(), kinds, now, now))
        return self

    def add_sender(self, conn: psycopg.Connection, number: str) -> UUID:
        row = conn.execute("SELECT name FROM carriers WHERE id = %s", (self.carrier_id,)).fetchone()
        assert row
        return add_sender(
            conn,
            account_id=self.account_id,
            number=number,
            carrier_name=row[0],
            now=utc_now(),
        ).id

    # Out

    def send(
        self,
        text: str = "Hello",
        mobile: str = HANDSET,
        *,
        now: datetime | None = None,
        strategy: str | None = None,
    ) -> SendAnswer:
        request = SendRequest(
            contacts=[ContactInput(mobile=mobile)], template=text, conversation_strategy=strategy
        )
        return self._send(request, now)

    def answer_in(self, conversation_id: UUID, text: str) -> SendAnswer:
        """Send ``text`` to a conversation."""
        return self._send(SendRequest(conversations=[str(conversation_id)], template=text))

    def _send(self, request: SendRequest, now: datetime | None = None) -> SendAnswer:
        with self.pool.connection() as conn:
            return send_messages(
                conn,
                self.account_id,
                request,
                credential_id=new_id(),
                idempotency_key=None,
                body=b"",
                now=now or utc_now(),
            )

    def send_one(self, text: str = "Hello", mobile: str = HANDSET) -> UUID:
        return UUID(self.send(text, mobile).data["messages"][0]["id"])

    def read(self, priority: int = 0) -> list[Text]:
        """Due texts of the lane, as a dispatcher reads them."""
        with self.pool.connection() as conn:
            cursor = Cursor(self.account_id, self.lane_id, priority)
            return read_due(conn, [Read(cursor, 100)], utc_now())

    def start(self, text: Text, mask: int | None = None) -> bool:
        """Commit the start of an attempt; False if the text may not leave (any more)."""
        wanted = text.next_mask(16) if mask is None else mask
        with self.pool.connection() as conn:
            started = start(conn, [Start(text, wanted)], self.me, utc_now())
            advance(conn, started.steps)
        if started.granted:
            text.started |= wanted
        return bool(started.granted)

    def answer(
        self, outcomes: Sequence[tuple[Text, int, Verdict, str]], *, resend: bool = False
    ) -> None:
        """Commit (text, segment, verdict, carrier's id or our error) in one batch."""
        pairs = [
            (
                Attempt(text, segment),
                SubmitOutcome(
                    None,
                    verdict,
                    carrier_message_id=word if verdict is Verdict.ACCEPTED else "",
                    error_code=word if verdict is not Verdict.ACCEPTED else "",
                ),
            )
            for text, segment, verdict, word in outcomes
        ]
        with self.pool.connection() as conn:
            now = utc_now()
            steps = commit_outcomes(
                conn,
                self.carrier_id,
                pairs,
                resend_unknown=resend,
                receipts=self.receipts,
                now=now,
            )
            advance(conn, steps)
        for text, segment, verdict, _ in outcomes:
            if verdict is Verdict.ACCEPTED:
                text.answered |= 1 << segment
            elif verdict in (Verdict.THROTTLED, Verdict.RETRY):
                text.started &= ~(1 << segment)

    def submit(self, *ids: str, text: str = "Hello", mobile: str = HANDSET) -> UUID:
        """Send a text and have the carrier take its segments under ``ids``."""
        message_id = self.send_one(text, mobile)
        out = next(t for t in self.read() if t.message_id == message_id)
        assert out.segments == len(ids)
        assert self.start(out)
        self.answer([(out, n, Verdict.ACCEPTED, word) for n, word in enumerate(ids)])
        return message_id

    def hold(self, text: str = "Hello", mobile: str = HANDSET) -> tuple[UUID, Text]:
        """Send a text whose segments all go unanswered."""
        message_id = self.send_one(text, mobile)
        out = next(t for t in self.read() if t.message_id == message_id)
        assert self.start(out)
        self.answer([(out, n, Verdict.UNKNOWN, "") for n in range(out.segments)])
        return message_id, out

    # In

    def arrival(
        self,
        payload: bytes | str = b"",
        *,
        source: str = HANDSET,
        destination: str = SENDER,
        data_coding: int = 0,
        has_udh: bool = False,
        receipt: Receipt | None = None,
        session_id: UUID | None = None,
    ) -> Arrival:
        octets = payload.encode("ascii") if isinstance(payload, str) else payload
        delivery = Delivery(None, source, destination, octets, data_coding, has_udh, receipt)
        return Arrival(delivery, new_id(), session_id or self.session_id)

    def take(self, *arrivals: Arrival, id_format: str | None = None) -> Taken:
        source = Source(
            self.carrier_id,
            id_format or self.id_format,
            self.receipts,
            frozenset(self.live_sessions),
        )
        return take_arrivals(self.pool, source, arrivals)

    def text(self, text: str, **where: Any) -> Taken:
        return self.take(self.arrival(text, **where))

    def receipt(
        self,
        carrier_message_id: str,
        state: ReceiptState = ReceiptState.DELIVERED,
        *,
        reference: int | None = None,
        id_format: str | None = None,
        **where: Any,
    ) -> Taken:
        receipt = Receipt(carrier_message_id, state, "000", reference)
        return self.take(self.arrival(receipt=receipt, **where), id_format=id_format)

    # Looking

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        with self.pool.connection() as conn:
            return conn.execute(query.encode(), params).fetchall()

    def run(self, query: str, *params: Any) -> None:
        with self.pool.connection() as conn:
            conn.execute(query.encode(), params)

    def status(self, message_id: UUID) -> tuple[str, str | None]:
        row = self.rows(
            "SELECT status, error_code FROM messages WHERE account_id = %s AND id = %s",
            self.account_id,
            message_id,
        )
        return row[0]

    def events(self) -> list[str]:
        return [
            row[0]
            for row in self.rows(
                "SELECT type FROM events WHERE account_id = %s ORDER BY id", self.account_id
            )
        ]

    def texts(self, *, outgoing: bool) -> list[str]:
        return [
            row[0]
            for row in self.rows(
                "SELECT message FROM messages WHERE account_id = %s AND outgoing = %s ORDER BY id",
                self.account_id,
                outgoing,
            )
        ]

    def balance(self) -> tuple[int, int]:
        row = self.rows(
            "SELECT available_micros, reserved_micros FROM balances WHERE account_id = %s",
            self.account_id,
        )
        return row[0]

    def check_books(self) -> None:
        """What must hold at any moment for the money and the queue of the account."""
        available, reserved = self.balance()
        booked = self.rows(
            "SELECT COALESCE(sum(amount_micros), 0) FROM ledger WHERE account_id = %s",
            self.account_id,
        )[0][0]
        assert booked == available + reserved
        open_price = self.rows(
            "SELECT COALESCE(sum(price_micros), 0) FROM messages WHERE account_id = %s AND outgoing"
            " AND status NOT IN ('suspended', 'error', 'canceled', 'invalid')"
            " AND sent_segments < segments",
            self.account_id,
        )[0][0]
        assert reserved == open_price
        charged = self.rows(
            "SELECT COALESCE(sum(price_micros), 0) FROM messages WHERE account_id = %s AND outgoing"
            " AND sent_segments >= segments",
            self.account_id,
        )[0][0]
        ledger = self.rows(
            "SELECT COALESCE(-sum(amount_micros), 0) FROM ledger WHERE account_id = %s"
            " AND kind = 'sent'",
            self.account_id,
        )[0][0]
        assert ledger == charged
        waiting_ended = self.rows(
            "SELECT m.status FROM messages m WHERE m.account_id = %s AND m.status IN"
            " ('sent', 'delivered', 'error', 'canceled') AND (EXISTS (SELECT 1 FROM dispatch_queue"
            " q WHERE q.account_id = m.account_id AND q.message_id = m.id) OR EXISTS (SELECT 1"
            " FROM parked_messages p WHERE p.account_id = m.account_id AND p.message_id = m.id))",
            self.account_id,
        )
        assert waiting_ended == []


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
