"""The SMPP carrier: connects, binds, keeps the link alive and reconnects; used by dispatch.

One parse loop per read, one write per batch, one event call per read, and no task per message.
``transceiver`` uses one connection, ``tx_rx`` a transmitter and a receiver; the carrier counts
as bound while all of its connections are.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from viesti.carriers.base import CarrierEvents, Delivery, Submit, SubmitOutcome, Verdict
from viesti.carriers.smpp.errors import CARRIER_FAILURE
from viesti.carriers.smpp.link import SmppLink
from viesti.carriers.smpp.pdu import BindPdu, Command, Status

# A bind that lasted this long counts as a success, after which back-off starts anew.
_HELD_S = 5.0
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class SmppSettings:
    """How to reach and bind to one SMSC account.

    The defaults for window and timers are those that SMSC operators commonly ask for; SMPP 3.4
    section 7.2 names the timers but sets no values.
    """

    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    bind_mode: Literal["transceiver", "tx_rx"] = "transceiver"
    window: int = 100
    enquire_link_s: float = 30.0
    enquire_timeout_s: float = 10.0
    response_timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    backoff_first_s: float = 0.1
    backoff_most_s: float = 30.0
    # Inbound PDUs that wait for their acknowledgement; past this, reading pauses, so that a
    # carrier that floods us fills its own socket and not our memory.
    max_unacknowledged: int = 20_000


class SmppClient:
    """One bind (or transmitter and receiver pair) to a carrier account: a ``Carrier``."""

    def __init__(self, settings: SmppSettings, events: CarrierEvents) -> None:
        self._settings = settings
        self._events = events
        self._closing = asyncio.Event()
        self._was_bound = False
        self.last_reason = ""
        if settings.bind_mode == "transceiver":
            self._sender = self._link(Command.BIND_TRANSCEIVER)
            self._links = (self._sender,)
        else:
            self._sender = self._link(Command.BIND_TRANSMITTER)
            self._links = (self._sender, self._link(Command.BIND_RECEIVER))

    def _link(self, command: Command) -> SmppLink:
        settings = self._settings
        bind = BindPdu(
            settings.system_id.encode("latin-1", "replace"),
            settings.password.encode("latin-1", "replace"),
            settings.system_type.encode("latin-1", "replace"),
        )
        return SmppLink(
            bind_command=command,
            bind=bind,
            window=settings.window,
            response_timeout_s=settings.response_timeout_s,
            enquire_link_s=settings.enquire_link_s,
            enquire_timeout_s=settings.enquire_timeout_s,
            max_unacknowledged=settings.max_unacknowledged,
            events=self._events,
            on_bound=self._link_bound,
            on_ended=self._link_ended,
        )

    @property
    def is_bound(self) -> bool:
        return all(link.is_bound for link in self._links)

    @property
    def room(self) -> int:
        """0 while unbound, closing, or the socket does not take more."""
        if self._closing.is_set() or not self.is_bound:
            return 0
        return self._sender.room

    @property
    def unanswered(self) -> int:
        """Segments written whose answer is still awaited."""
        return self._sender.unanswered

    @property
    def heard_s(self) -> float:
        """When the carrier last sent anything where it delivers, on the event loop's clock."""
        return self._links[-1].heard_s

    def submit(self, segments: Sequence[Submit]) -> None:
        """Write ``segments`` in one buffer.

        Those that cannot be written, since the bind is gone, are reported as to be retried:
        not one octet of them left.
        """
        if self._closing.is_set() or not self._sender.submit(segments):
            unsent = [
                SubmitOutcome(segment.key, Verdict.RETRY, "", CARRIER_FAILURE)
                for segment in segments
            ]
            if unsent:
                asyncio.get_running_loop().call_soon(self._events.on_outcomes, unsent)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._answer(deliveries, Status.OK)

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        """Answer 0x08, system error: the message is kept by the SMSC and sent again.

        0x14 (queue full) means the same to most SMSCs, but some take it for a permanent state
        of the receiver and stop the whole bind.
        """
        self._answer(deliveries, Status.SYSTEM_ERROR)

    def _answer(self, deliveries: Sequence[Delivery], status: Status) -> None:
        tokens = [delivery.token for delivery in deliveries]
        for link in self._links:
            link.answer(tokens, status)

    async def run(self) -> None:
        """Hold every link up until ``close``; a failure of one never ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for link in self._links:
                    group.create_task(self._hold(link))
        finally:
            for link in self._links:
                link.hang_up()

    async def _hold(self, link: SmppLink) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._closing.is_set():
            started_s = loop.time()
            try:
                async with asyncio.timeout(settings.connect_timeout_s):
                    await link.connect(settings.host, settings.port)
            except (OSError, UnicodeError) as error:  # the latter: no possible host name
                self._link_ended(f"no connection: {error or 'timed out'}")
                held = False
            else:
                if self._closing.is_set():
                    await link.close(0.0)
                # A carrier that takes the bind and drops it at once is not hammered either.
                held = await link.wait_ended() and loop.time() - started_s >= _HELD_S
            failures = 1 if held else failures + 1
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        """Full jitter on an exponential: many clients do not come back in step."""
        settings = self._settings
        longest_s = min(
            settings.backoff_most_s, settings.backoff_first_s * 2.0 ** min(failures - 1, 30)
        )
        try:
            async with asyncio.timeout(_jitter.uniform(longest_s / 2, longest_s)):
                await self._closing.wait()
        except TimeoutError:
            return

    def _link_bound(self) -> None:
        if self.is_bound and not self._closing.is_set():
            self._was_bound = True
            self.last_reason = ""
            self._events.on_bound()

    def _link_ended(self, reason: str) -> None:
        changed = reason != self.last_reason
        self.last_reason = reason
        if self._was_bound or changed:
            self._was_bound = False
            self._events.on_unbound(reason)

    async def close(self, drain_s: float) -> None:
        """Stop submitting, wait up to ``drain_s`` for answers, unbind, hang up.

        Waits as well for ``acknowledge`` of what has come in. Submits still unanswered then are
        reported UNKNOWN.
        """
        self._closing.set()
        await asyncio.gather(*(link.close(drain_s) for link in self._links))
