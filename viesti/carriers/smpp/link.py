"""One TCP connection under one ``EsmeSession``; owned by the client, which reconnects it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

from viesti.carriers.base import CarrierEvents, Submit
from viesti.carriers.smpp.pdu import BindPdu, Command
from viesti.carriers.smpp.session import Effects, EsmeSession, SessionState

_TICK_S = 1.0
# How long a peer may take over unbind_resp and hanging up before we hang up ourselves.
_UNBIND_S = 2.0
_link_ids = count(1)


class SmppLink:
    """Connects, feeds octets to a fresh session, and reports what comes of it."""

    def __init__(
        self,
        *,
        bind_command: Command,
        bind: BindPdu,
        window: int,
        response_timeout_s: float,
        enquire_link_s: float,
        enquire_timeout_s: float,
        max_unacknowledged: int,
        events: CarrierEvents,
        on_bound: Callable[[], None],
        on_ended: Callable[[str], None],
    ) -> None:
        self._bind_command = bind_command
        self._bind = bind
        self._window = window
        self._response_timeout_s = response_timeout_s
        self._enquire_link_s = enquire_link_s
        self._enquire_timeout_s = enquire_timeout_s
        self._max_unacknowledged = max_unacknowledged
        self._events = events
        self._on_bound = on_bound
        self._on_ended = on_ended
        self._connection: _Connection | None = None

    @property
    def is_bound(self) -> bool:
        connection = self._connection
        return connection is not None and connection.session.state is SessionState.BOUND

    @property
    def heard_s(self) -> float:
        """When the peer last sent anything, on the event loop's clock."""
        connection = self._connection
        return connection.heard_s if connection is not None else 0.0

    @property
    def room(self) -> int:
        connection = self._connection
        if connection is None or connection.is_full:
            return 0
        return connection.session.room

    @property
    def unanswered(self) -> int:
        return 0 if self._connection is None else self._connection.session.unanswered

    async def connect(self, host: str, port: int) -> None:
        """Open the connection and ask to bind; OSError if there is nobody."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(self._made, host, port)

    def _made(self) -> _Connection:
        loop = asyncio.get_running_loop()
        session = EsmeSession(
            link_id=next(_link_ids),
            bind_command=self._bind_command,
            bind=self._bind,
            window=self._window,
            now_s=loop.time(),
            response_timeout_s=self._response_timeout_s,
            enquire_link_s=self._enquire_link_s,
            enquire_timeout_s=self._enquire_timeout_s,
        )
        tick_s = min(_TICK_S, self._response_timeout_s / 4, self._enquire_timeout_s / 4)
        self._connection = _Connection(
            session,
            self._events,
            self._on_bound,
            self._on_ended,
            tick_s=tick_s,
            max_unacknowledged=self._max_unacknowledged,
        )
        return self._connection

    async def wait_ended(self) -> bool:
        """Until the connection is gone; whether it was ever bound."""
        connection = self._connection
        if connection is None:
            return False
        await connection.ended.wait()
        return connection.was_bound

    def submit(self, segments: Sequence[Submit]) -> bool:
        """Write all of them, or none and answer False."""
        connection = self._connection
        if connection is None or connection.session.state is not SessionState.BOUND:
            return False
        connection.submit(segments)
        return True

    def answer(self, tokens: Sequence[object], status: int) -> None:
        if self._connection is not None:
            self._connection.answer(tokens, status)

    def hang_up(self) -> None:
        """Cut the connection at once; what is unanswered is reported UNKNOWN."""
        if self._connection is not None:
            self._connection.hang_up()

    async def close(self, drain_s: float) -> None:
        """Wait up to ``drain_s`` for answers and acknowledgements, unbind and hang up."""
        connection = self._connection
        if connection is not None:
            await connection.drain_and_close(drain_s)


class _Connection(asyncio.Protocol):
    def __init__(
        self,
        session: EsmeSession,
        events: CarrierEvents,
        on_bound: Callable[[], None],
        on_ended: Callable[[str], None],
        *,
        tick_s: float,
        max_unacknowledged: int,
    ) -> None:
        self.session = session
        self.is_full = False
        self.was_bound = False
        self.ended = asyncio.Event()
        self._events = events
        self._on_bound = on_bound
        self._on_ended = on_ended
        self._tick_s = tick_s
        self._max_unacknowledged = max_unacknowledged
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._end_reason = ""
        self.heard_s = self._loop.time()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self.session.bind())
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        self._apply(self.session.receive(data, self._loop.time()))
        if self.session.unacknowledged > self._max_unacknowledged and self._transport:
            self._reading_paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        outcomes = self.session.end()
        if outcomes:
            self._events.on_outcomes(outcomes)
        reason = self._end_reason or (str(exc) if exc else "the carrier closed the connection")
        self._on_ended(reason)
        self.ended.set()

    # For the link

    def submit(self, segments: Sequence[Submit]) -> None:
        octets = self.session.submit(segments, self._loop.time())
        if octets and self._transport is not None:
            self._transport.write(octets)

    def answer(self, tokens: Sequence[object], status: int) -> None:
        octets = self.session.answer(tokens, status)
        transport = self._transport
        if transport is None:
            return
        if octets:
            transport.write(octets)
        if self._reading_paused and self.session.unacknowledged < self._max_unacknowledged // 2:
            self._reading_paused = False
            transport.resume_reading()

    async def drain_and_close(self, drain_s: float) -> None:
        deadline_s = self._loop.time() + drain_s
        session = self.session
        # Inbound PDUs count too: their effect is being committed, and without the
        # acknowledgement each would come a second time.
        while (session.unanswered or session.unacknowledged) and not self.ended.is_set():
            left_s = deadline_s - self._loop.time()
            if left_s <= 0:
                break
            await asyncio.sleep(min(0.01, left_s))
        if self._transport is None:
            return
        self._end_reason = "unbound"
        if self.session.state is SessionState.BOUND:
            self._transport.write(self.session.unbind())
            try:
                async with asyncio.timeout(_UNBIND_S):
                    await self.ended.wait()
            except TimeoutError:
                self.hang_up()
        else:
            self.hang_up()
        await self.ended.wait()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Inside

    def _apply(self, effects: Effects) -> None:
        transport = self._transport
        if transport is None:
            return
        if effects.octets:
            transport.write(b"".join(effects.octets))
        if effects.outcomes:
            self._events.on_outcomes(effects.outcomes)
        if effects.deliveries:
            self._events.on_deliveries(effects.deliveries)
        if effects.bound:
            self.was_bound = True
            self._on_bound()
        if effects.end_reason:
            self._end_reason = self._end_reason or effects.end_reason
            # A close waits until the peer has taken what was written; a dead peer never does.
            transport.close()
            self._loop.call_later(_UNBIND_S, self.hang_up)

    def _tick(self) -> None:
        # While reading is paused by us, silence says nothing about the carrier.
        now_s = self._loop.time()
        effects = self.session.tick(now_s, ignore_silence=self._reading_paused)
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._apply(effects)
