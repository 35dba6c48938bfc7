"""One ESME's connection to the simulated SMSC: binds, answers, deliveries.

Made by ``server`` for each accepted socket. Like the client side, it parses all PDUs of a read
in one loop and writes their answers in one go.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Protocol, cast

from viesti.carriers.simulator.log import IN, OUT
from viesti.carriers.simulator.network import Decision, Network
from viesti.carriers.simulator.outbox import Outgoing
from viesti.carriers.smpp.codec import (
    decode_bind,
    decode_message,
    encode_pdu,
    encode_submit_resp,
    encode_tlvs,
    split_frames,
)
from viesti.carriers.smpp.pdu import (
    BINDS,
    INTERFACE_VERSION,
    RESPONSE_BIT,
    Command,
    Frame,
    Status,
    Tag,
)

_SUBMIT_SM = int(Command.SUBMIT_SM)
_SUBMIT_SM_RESP = int(Command.SUBMIT_SM_RESP)
_DELIVER_SM = int(Command.DELIVER_SM)
_DELIVER_SM_RESP = int(Command.DELIVER_SM_RESP)
_SMSC_NAME = b"viesti-simulator"
_TICK_S = 1.0
# For how long a connection that is cut before the acknowledgement stays open, unread, so that
# what was written to it arrives.
_DEAF_S = 0.05


class Owner(Protocol):
    """The server, as a connection sees it."""

    def opened(self, connection: SmscConnection) -> bool:
        """False: there are too many, or the SMSC is out."""
        ...

    def bound(self, connection: SmscConnection) -> None: ...

    def closed(self, connection: SmscConnection) -> None: ...


class SmscConnection(asyncio.Protocol):
    def __init__(self, network: Network, owner: Owner, number: int) -> None:
        self.system_id = ""
        self.name = f"#{number}"
        self.receives = False
        self.transmits = False
        self._number = number
        self._network = network
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tail = b""
        self._sequence = 0
        self._inflight: dict[int, tuple[Outgoing, float]] = {}
        self._is_full = False
        self._deaf = False
        self._opened_s = self._loop.time()

    @property
    def is_bound(self) -> bool:
        return self.receives or self.transmits

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._owner.opened(self):
            self._transport.abort()
            return
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def pause_writing(self) -> None:
        # A peer that does not read its answers gets no more of its requests read.
        self._is_full = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._transport is not None:
            self._transport.resume_reading()
        self._network.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._leave()
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._network.faults.is_silent:
            return
        buffer = self._tail + data if self._tail else data
        frames, consumed, broken = split_frames(buffer)
        self._tail = buffer[consumed:] if consumed < len(buffer) else b""
        out: list[bytes] = []
        acknowledged = False
        for frame in frames:
            command = frame[0]
            if command == _SUBMIT_SM:
                self._submitted(frame, buffer, out)
            elif command == _DELIVER_SM_RESP:
                self._answered(frame)
                acknowledged = True
            else:
                self._other(frame, buffer, out)
            if self._deaf:
                break
        if broken and not self._deaf:
            out.append(self._pdu(Command.GENERIC_NACK, Status.INVALID_COMMAND_LENGTH, 0))
        self._write(b"".join(out))
        if self._deaf or broken:
            self._close()
        elif acknowledged:
            self._network.outboxes[self.system_id].flush()

    # Requests of the peer

    def _submitted(self, frame: Frame, buffer: bytes, out: list[bytes]) -> None:
        _, _, sequence, start, end = frame
        network = self._network
        message = decode_message(buffer, start, end)
        network.log.add(IN, self.name, _SUBMIT_SM, 0, sequence, message)
        if message is None:
            decision = Decision(Status.INVALID_COMMAND_LENGTH)
        elif not self.transmits:
            decision = Decision(Status.INVALID_BIND_STATUS)
        else:
            decision = network.take(self.system_id, self.name, message)
        action = decision.action
        if action == "drop_before":
            self._deaf = True
        elif action != "silence":
            if decision.delay_s > 0:
                network.wheel.add(decision.delay_s, self._answer_late, (sequence, decision))
            else:
                out.append(self._submit_resp(sequence, decision))
            if action == "drop_after":
                self._deaf = True

    def _submit_resp(self, sequence: int, decision: Decision) -> bytes:
        status, message_id = decision.status, decision.message_id
        self._network.log.add(OUT, self.name, _SUBMIT_SM_RESP, status, sequence, message_id)
        return encode_submit_resp(sequence, status, message_id)

    def _answer_late(self, late: tuple[int, Decision]) -> None:
        if self._transport is not None and not self._deaf:
            self._write(self._submit_resp(*late))

    def _other(self, frame: Frame, buffer: bytes, out: list[bytes]) -> None:
        command, status, sequence, start, end = frame
        self._network.log.add(IN, self.name, command, status, sequence)
        if command in BINDS:
            out.append(self._bind(command, sequence, buffer, start, end))
        elif command == Command.ENQUIRE_LINK:
            out.append(self._pdu(Command.ENQUIRE_LINK_RESP, 0, sequence))
        elif command == Command.UNBIND:
            out.append(self._pdu(Command.UNBIND_RESP, 0, sequence))
            self._deaf = True
        elif not command & RESPONSE_BIT:
            out.append(self._pdu(Command.GENERIC_NACK, Status.INVALID_COMMAND_ID, sequence))

    def _bind(self, command: int, sequence: int, buffer: bytes, start: int, end: int) -> bytes:
        answer = command | RESPONSE_BIT
        request = decode_bind(buffer, start, end)
        if request is None:
            return self._pdu(answer, Status.INVALID_COMMAND_LENGTH, sequence)
        if self.is_bound:
            return self._pdu(answer, Status.ALREADY_BOUND, sequence)
        system_id = request.system_id.decode("latin-1")
        password = self._network.settings.accounts.get(system_id)
        if password is None:
            return self._pdu(answer, Status.INVALID_SYSTEM_ID, sequence)
        if not hmac.compare_digest(password.encode("latin-1", "replace"), request.password):
            return self._pdu(answer, Status.INVALID_PASSWORD, sequence)
        self.system_id = system_id
        self.name = f"{system_id}#{self._number}"
        self.transmits = command != Command.BIND_RECEIVER
        self.receives = command != Command.BIND_TRANSMITTER
        if self.receives:
            self._network.outboxes[system_id].attach(self)
            # After the answer to the bind, which is written when this read is done.
            self._loop.call_soon(self._network.flush)
        self._owner.bound(self)
        version = encode_tlvs({Tag.SC_INTERFACE_VERSION: bytes((INTERFACE_VERSION,))})
        return self._pdu(answer, 0, sequence, _SMSC_NAME + b"\0" + version)

    # Deliveries to the peer

    @property
    def delivery_room(self) -> int:
        if self._is_full or self._deaf or self._transport is None:
            return 0
        return self._network.settings.deliver_window - len(self._inflight)

    def deliver(self, items: list[Outgoing]) -> None:
        now_s = self._loop.time()
        parts: list[bytes] = []
        log, name, inflight = self._network.log, self.name, self._inflight
        sequence = self._sequence
        for item in items:
            sequence = sequence + 1 if sequence < 0x7FFFFFFF else 1
            item.attempts += 1
            inflight[sequence] = (item, now_s)
            log.add(OUT, name, _DELIVER_SM, 0, sequence, item.body)
            parts.append(encode_pdu(_DELIVER_SM, 0, sequence, item.body))
        self._sequence = sequence
        self._write(b"".join(parts))
        if self._network.faults.has_plan and self._network.faults.on_deliver(len(items)):
            self._deaf = True
            self._loop.call_later(_DEAF_S, self._close)

    def _answered(self, frame: Frame) -> None:
        _, status, sequence, _, _ = frame
        self._network.log.add(IN, self.name, _DELIVER_SM_RESP, status, sequence)
        entry = self._inflight.pop(sequence, None)
        if entry is None:
            return
        item = entry[0]
        if status:
            self._send_again([item])
        elif item.arrived is not None:
            item.arrived()

    def _send_again(self, items: list[Outgoing]) -> None:
        network = self._network
        outbox = network.outboxes[self.system_id]
        network.wheel.add(network.settings.redelivery_delay_s, outbox.put_back, items)

    # Time and the end

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        now_s, settings = self._loop.time(), self._network.settings
        if not self.is_bound and now_s - self._opened_s > settings.bind_timeout_s:
            self._close()
            return
        limit_s = now_s - settings.deliver_timeout_s
        overdue: list[int] = []
        for sequence, (_, sent_s) in self._inflight.items():
            if sent_s > limit_s:
                break
            overdue.append(sequence)
        if overdue:
            self._send_again([self._inflight.pop(sequence)[0] for sequence in overdue])

    def drop(self) -> None:
        """Cut the connection now, without a word."""
        self._deaf = True
        if self._transport is not None:
            self._transport.abort()

    def unbind(self) -> None:
        """Ask the peer to unbind, as SMSCs do before maintenance, and hang up soon after."""
        if self._transport is not None:
            self._sequence += 1
            self._write(self._pdu(Command.UNBIND, 0, self._sequence))
            self._leave()
            self._loop.call_later(5.0, self._close)

    def _leave(self) -> None:
        """Take no more deliveries; what was not acknowledged goes back to the front."""
        if self.receives:
            outbox = self._network.outboxes[self.system_id]
            outbox.detach(self)
            outbox.put_back([item for item, _ in self._inflight.values()])
            self._inflight.clear()
            outbox.flush()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, octets: bytes) -> None:
        if octets and self._transport is not None:
            self._transport.write(octets)

    def _pdu(self, command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
        self._network.log.add(OUT, self.name, command, status, sequence)
        return encode_pdu(command, status, sequence, body)
