"""A dispatcher, a simulated SMSC on a real socket and a database, to see texts through.

Texts are accepted by the real send; receipts are taken by the real ``inbound``. The dispatcher
runs in the test's own loop, or as processes of their own that tests may kill.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from viesti.carriers.simulator.behaviour import Behaviour
from viesti.carriers.simulator.log import IN, OUT
from viesti.carriers.simulator.server import Simulator
from viesti.carriers.simulator.settings import SimulatorSettings
from viesti.carriers.smpp.pdu import Command, MessagePdu
from viesti.db.signals import notify
from viesti.dispatch.loop import Dispatcher
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendRequest
from viesti.domain.messages.send import send_messages
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.inbound.handler import acknowledge_known, take_arrivals
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey, load_platform_key

SENDER = "+12025550100"
SYSTEMS = {"viesti": "secret", "second": "secret"}


def handset(number: int) -> str:
    return f"+1347{5_550_000 + number:07d}"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submit_sm as the SMSC saw it."""

    at_s: float
    bind: str
    source: str
    destination: str
    payload: bytes
    status: int | None  # of its answer; None if there was none


@dataclass
class Bed:
    settings: Settings
    pool: ConnectionPool[psycopg.Connection]
    simulator: Simulator
    key: PlatformKey
    account_id: UUID
    lanes: dict[str, UUID] = field(default_factory=dict[str, UUID])
    dispatchers: list[tuple[Dispatcher, asyncio.Task[None]]] = field(default_factory=list[Any])
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[Any])
    _sent: int = 0

    # Setting up

    @classmethod
    async def make(
        cls, settings: Settings, pool: ConnectionPool[psycopg.Connection], **knobs: Any
    ) -> Bed:
        simulator = Simulator(
            SimulatorSettings(
                smpp_port=0,
                http_port=0,
                accounts=dict(SYSTEMS),
                receipt_delay_s=0.02,
                redelivery_delay_s=0.1,
                log_size=200_000,
            )
        )
        await simulator.start()
        settings = replace(settings, database_direct_url=settings.database_url)
        with pool.connection() as conn:
            account = create_account(
                conn, name="Acme", balance_micros=10_000_000_000, now=utc_now()
            )
        bed = cls(settings, pool, simulator, load_platform_key(settings), account.id)
        bed.add_carrier("main", **knobs)
        bed.add_sender(SENDER)
        return bed

    def add_carrier(self, name: str, system_id: str = "viesti", **knobs: Any) -> UUID:
        smpp = SmppAccount("127.0.0.1", self.simulator.smpp_port, system_id, SYSTEMS[system_id])
        with self.pool.connection() as conn:
            return add_carrier(conn, self.key, name=name, smpp=smpp, now=utc_now(), **knobs).id

    def add_account(self) -> UUID:
        with self.pool.connection() as conn:
            return create_account(
                conn, name="Other", balance_micros=10_000_000_000, now=utc_now()
            ).id

    def add_sender(
        self,
        number: str,
        carrier: str = "main",
        *,
        rate_per_s: float = 0.0,
        account_id: UUID | None = None,
    ) -> UUID:
        with self.pool.connection() as conn:
            self.lanes[number] = add_sender(
                conn,
                account_id=account_id or self.account_id,
                number=number,
                carrier_name=carrier,
                now=utc_now(),
                rate_per_s=rate_per_s,
            ).id
        return self.lanes[number]

    # Running

    async def start(self) -> Dispatcher:
        dispatcher = Dispatcher(
            self.settings, self.key, self.pool, new_id(), take_arrivals, self._acknowledged
        )
        self.dispatchers.append((dispatcher, asyncio.create_task(dispatcher.run())))
        return dispatcher

    def _acknowledged(self, ids: list[UUID]) -> None:
        with self.pool.connection() as conn:
            acknowledge_known(conn, ids, utc_now())

    def spawn(self) -> subprocess.Popen[bytes]:
        """A dispatcher as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.dispatch.bed"],
            env={**os.environ, **to_environment(self.settings)},
            stderr=subprocess.DEVNULL if "BED_LOG" not in os.environ else None,
            stdout=subprocess.DEVNULL if "BED_LOG" not in os.environ else None,
        )
        self.processes.append(process)
        return process

    async def stop(self) -> None:
        """End every dispatcher of this loop well."""
        for dispatcher, _ in self.dispatchers:
            dispatcher.stop()
        await asyncio.gather(*(task for _, task in self.dispatchers))
        self.dispatchers.clear()

    async def close(self) -> None:
        try:
            for process in self.processes:
                process.kill()
                await asyncio.to_thread(process.wait)
            await self.stop()
        finally:
            await self.simulator.stop()

    # Texts

    def behave(self, number: str, behaviour: Behaviour) -> None:
        self.simulator.set_behaviour(number, behaviour)

    async def send(
        self,
        numbers: Sequence[str],
        text: str = "Hello",
        *,
        sender: str | None = None,
        account_id: UUID | None = None,
    ) -> list[UUID]:
        """Accept one text per number, as the API does, and wake the dispatcher."""
        return await asyncio.to_thread(self._send, numbers, text, sender, account_id)

    def _send(
        self, numbers: Sequence[str], text: str, sender: str | None, account_id: UUID | None
    ) -> list[UUID]:
        self._sent += 1
        owner = account_id or self.account_id
        with self.pool.connection() as conn:
            if sender is not None:
                conn.execute(
                    "UPDATE senders SET is_default = (number = %s) WHERE account_id = %s",
                    (sender, owner),
                )
            answer = send_messages(
                conn,
                owner,
                SendRequest(
                    contacts=[ContactInput(mobile=number) for number in numbers],
                    template=f"{text} {self._sent}",
                    conversation_strategy="new" if sender else None,
                ),
                credential_id=new_id(),
                idempotency_key=None,
                body=b"",
                now=utc_now(),
            )
        with psycopg.connect(self.settings.database_url, autocommit=True) as conn:
            notify(conn, DISPATCH_CHANNEL, ",".join({str(hint.lane_id) for hint in answer.wake}))
        return [UUID(message["id"]) for message in answer.data["messages"]]

    # Looking

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        with self.pool.connection() as conn:
            return conn.execute(query.encode(), params).fetchall()

    def run(self, query: str, *params: Any) -> None:
        with self.pool.connection() as conn:
            conn.execute(query.encode(), params)

    def statuses(self) -> dict[str, int]:
        rows = self.rows("SELECT status, count(*) FROM messages WHERE outgoing GROUP BY 1")
        return {row[0]: row[1] for row in rows}

    def status(self, message_id: UUID) -> tuple[str, str | None]:
        return self.rows("SELECT status, error_code FROM messages WHERE id = %s", message_id)[0]

    async def until(
        self, reached: Callable[[], object], what: str, timeout_s: float = 20.0
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while not await asyncio.to_thread(reached):
            assert loop.time() < deadline_s, f"did not come about: {what}; {self.statuses()}"
            for _, task in self.dispatchers:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)

    async def settled(self, timeout_s: float = 20.0, **statuses: int) -> None:
        """Until exactly so many texts have each of the statuses."""
        await self.until(lambda: self.statuses() == statuses, str(statuses), timeout_s)

    async def bound(self, binds: int = 1) -> None:
        await self.until(lambda: len(self.simulator.binds) == binds, f"{binds} binds")

    def submitted(self) -> list[Submitted]:
        """Every submit_sm that reached the SMSC, with the status of its answer."""
        answers: dict[tuple[str, int], int] = {}
        entries = self.simulator.network.log.entries()
        for _, _, direction, bind, command, status, sequence, _ in entries:
            if direction == OUT and command == Command.SUBMIT_SM_RESP:
                answers[bind, sequence] = status
        found: list[Submitted] = []
        for _, at_s, direction, bind, command, _, sequence, content in entries:
            if direction == IN and command == Command.SUBMIT_SM and isinstance(content, MessagePdu):
                found.append(
                    Submitted(
                        at_s,
                        bind,
                        content.source.decode(),
                        content.destination.decode(),
                        content.payload,
                        answers.get((bind, sequence)),
                    )
                )
        return found

    def taken_twice(self) -> list[tuple[str, bytes]]:
        """Segments that the SMSC took on (answered well, or never answered) more than once."""
        counts = Counter(
            (pdu.destination, pdu.payload) for pdu in self.submitted() if not pdu.status
        )
        return [key for key, times in counts.items() if times > 1]

    def check_books(self) -> None:
        """Money, queue and counts agree, whatever happened."""
        for (account_id,) in self.rows("SELECT account_id FROM balances"):
            available, reserved, booked = self.rows(
                "SELECT available_micros, reserved_micros, (SELECT sum(amount_micros) FROM ledger"
                " l WHERE l.account_id = b.account_id) FROM balances b WHERE account_id = %s",
                account_id,
            )[0]
            assert booked == available + reserved
            waiting = self.rows(
                "SELECT COALESCE(sum(price_micros), 0) FROM messages WHERE account_id = %s"
                " AND outgoing AND status IN ('queued', 'scheduled', 'held')"
                " AND sent_segments < segments",
                account_id,
            )[0][0]
            assert reserved == waiting
        wrong = self.rows(
            "SELECT m.status, q.message_id IS NOT NULL, p.message_id IS NOT NULL FROM messages m"
            " LEFT JOIN dispatch_queue q ON q.message_id = m.id"
            " LEFT JOIN parked_messages p ON p.message_id = m.id WHERE m.outgoing"
            " AND ((q.message_id IS NOT NULL) <> (m.status IN ('queued', 'scheduled'))"
            "   OR (p.message_id IS NOT NULL) <> (m.status IN ('held', 'suspended')))"
        )
        assert wrong == []


def main() -> None:
    from viesti.bootstrap import run_dispatch
    from viesti.kit.config import load_settings

    run_dispatch(load_settings())


if __name__ == "__main__":
    main()
