"""One bound SMPP connection of ours as arithmetic: octets and time in, octets and events out.

No sockets and no clock of its own: ``client`` feeds it. It keeps sequence numbers, the window,
response timers and enquire_link, and decides what an answer, a silence or a loss means for each
segment. A segment whose answer is overdue is reported UNKNOWN once; its sequence number stays
known, so that an answer that comes after all is reported with ``late``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from viesti.carriers.base import Delivery, Submit, SubmitOutcome, Verdict
from viesti.carriers.smpp.codec import (
    decode_message,
    decode_message_id,
    encode_bind,
    encode_deliver_resp,
    encode_pdu,
    encode_submit,
    split_frames,
)
from viesti.carriers.smpp.errors import meaning_of
from viesti.carriers.smpp.inbound import read_delivery
from viesti.carriers.smpp.pdu import RESPONSE_BIT, BindPdu, Command, Frame, Status

# Section 5.1.4: sequence numbers run from 1 to 0x7FFFFFFF.
MAX_SEQUENCE = 0x7FFFFFFF
# How many overdue submits stay known for a late answer; the oldest are forgotten first.
MAX_OVERDUE = 10_000
# How long a carrier that wants to unbind is kept waiting for its own answers.
UNBIND_PATIENCE_S = 2.0

# Plain integers: comparing them in the loop costs less than comparing enum members.
_SUBMIT_SM_RESP = int(Command.SUBMIT_SM_RESP)
_DELIVER_SM = int(Command.DELIVER_SM)
_ACCEPTED = Verdict.ACCEPTED


class SessionState(enum.Enum):
    CONNECTED = "connected"  # the bind request may be on its way
    BOUND = "bound"
    UNBINDING = "unbinding"  # one side asked to unbind: no more submits
    ENDED = "ended"


class InboundToken(NamedTuple):
    """Which PDU of which connection a ``Delivery`` was."""

    link_id: int
    sequence: int


@dataclass(slots=True)
class Effects:
    """What one call to the session asks its owner to do, in this order."""

    octets: list[bytes] = field(default_factory=list[bytes])
    outcomes: list[SubmitOutcome] = field(default_factory=list[SubmitOutcome])
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    bound: bool = False  # the bind was accepted just now
    end_reason: str = ""  # set: the connection is to be closed, for this reason


class EsmeSession:
    """The state of one connection, from the bind request to the end."""

    def __init__(
        self,
        *,
        link_id: int,
        bind_command: Command,
        bind: BindPdu,
        window: int,
        now_s: float,
        response_timeout_s: float = 30.0,
        enquire_link_s: float = 30.0,
        enquire_timeout_s: float = 10.0,
    ) -> None:
        self.state = SessionState.CONNECTED
        self.link_id = link_id
        self.refusal_status = 0  # the carrier's command_status when it refused the bind
        self._bind_command = bind_command
        self._bind = bind
        self._window = window
        self._response_timeout_s = response_timeout_s
        self._enquire_link_s = enquire_link_s
        self._enquire_timeout_s = enquire_timeout_s
        self._sequence = 0
        self._tail = b""
        # Sequence number -> (key, when written). Insertion order is time order, so the oldest
        # deadline is always first.
        self._pending: dict[int, tuple[object, float]] = {}
        self._overdue: dict[int, object] = {}
        self._unacknowledged: set[int] = set()
        self._started_s = now_s
        self._heard_s = now_s
        self._enquired_s: float | None = None
        # The carrier's request to unbind, kept open until its last answers are in.
        self._unbind_asked: tuple[int, float] | None = None

    @property
    def room(self) -> int:
        if self.state is not SessionState.BOUND:
            return 0
        return max(0, self._window - len(self._pending))

    @property
    def unanswered(self) -> int:
        return len(self._pending)

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    # What we ask for

    def bind(self) -> bytes:
        """The bind request, first thing on a new connection."""
        return encode_pdu(self._bind_command, 0, self._next(), encode_bind(self._bind))

    def unbind(self) -> bytes:
        """A request to unbind; nothing is submitted after it."""
        self.state = SessionState.UNBINDING
        return encode_pdu(Command.UNBIND, 0, self._next())

    def submit(self, segments: Sequence[Submit], now_s: float) -> bytes:
        """All of ``segments`` as one buffer; each counts in the window from now on."""
        pending = self._pending
        sequence = self._sequence
        parts: list[bytes] = []
        for segment in segments:
            sequence = sequence + 1 if sequence < MAX_SEQUENCE else 1
            pending[sequence] = (segment.key, now_s)
            parts.append(
                encode_submit(
                    sequence,
                    segment.source,
                    segment.destination,
                    segment.payload,
                    segment.data_coding,
                    segment.has_udh,
                    segment.reference,
                )
            )
        self._sequence = sequence
        return b"".join(parts)

    def answer(self, tokens: Iterable[object], status: int) -> bytes:
        """deliver_sm_resps for those tokens that are of this connection and not yet answered."""
        waiting = self._unacknowledged
        parts: list[bytes] = []
        for token in tokens:
            if not isinstance(token, InboundToken) or token.link_id != self.link_id:
                continue
            sequence = token.sequence
            if sequence in waiting:
                waiting.remove(sequence)
                parts.append(encode_deliver_resp(sequence, status))
        return b"".join(parts)

    # What we hear

    def receive(self, data: bytes, now_s: float) -> Effects:
        """Take octets as they come off the socket, in whatever pieces."""
        self._heard_s = now_s
        self._enquired_s = None
        buffer = self._tail + data if self._tail else data
        frames, consumed, broken = split_frames(buffer)
        self._tail = buffer[consumed:] if consumed < len(buffer) else b""
        effects = Effects()
        outcomes, deliveries = effects.outcomes, effects.deliveries
        pending, waiting = self._pending, self._unacknowledged
        link_id = self.link_id
        for frame in frames:
            command, status, sequence, start, end = frame
            if command == _SUBMIT_SM_RESP:
                entry = pending.pop(sequence, None)
                if entry is None:
                    self._late(frame, buffer, effects)
                elif status:
                    outcomes.append(_refusal(entry[0], status))
                else:
                    message_id = decode_message_id(buffer, start, end)
                    outcomes.append(SubmitOutcome(entry[0], _ACCEPTED, message_id))
            elif command == _DELIVER_SM and self.state is not SessionState.CONNECTED:
                message = decode_message(buffer, start, end)
                if message is None:
                    effects.octets.append(
                        encode_deliver_resp(sequence, Status.INVALID_MESSAGE_LENGTH)
                    )
                    continue
                waiting.add(sequence)
                deliveries.append(read_delivery(InboundToken(link_id, sequence), message))
            else:
                self._other(frame, effects)
        if broken:
            self._tail = b""
            effects.octets.append(
                encode_pdu(Command.GENERIC_NACK, Status.INVALID_COMMAND_LENGTH, 0)
            )
            effects.end_reason = "the carrier sent a PDU of an impossible length"
        elif self._unbind_asked is not None:
            self._grant_unbind(now_s, effects)
        return effects

    def _late(self, frame: Frame, buffer: bytes, effects: Effects) -> None:
        """An answer to nothing that is waiting: to an overdue submit, or to be ignored."""
        _, status, sequence, start, end = frame
        key = self._overdue.pop(sequence, None)
        if key is None:
            return
        if status:
            outcome = _refusal(key, status, late=True)
        else:
            message_id = decode_message_id(buffer, start, end)
            outcome = SubmitOutcome(key, _ACCEPTED, message_id, late=True)
        effects.outcomes.append(outcome)

    def _other(self, frame: Frame, effects: Effects) -> None:
        command, status, sequence, _, _ = frame
        if command == Command.ENQUIRE_LINK:
            effects.octets.append(encode_pdu(Command.ENQUIRE_LINK_RESP, 0, sequence))
        elif command == self._bind_command | RESPONSE_BIT:
            self._bind_answered(status, effects)
        elif command == Command.GENERIC_NACK:
            self._nacked(sequence, status, effects)
        elif command == Command.UNBIND:
            self.state = SessionState.UNBINDING
            self._unbind_asked = (sequence, self._heard_s)
        elif command == Command.UNBIND_RESP:
            if self.state is SessionState.UNBINDING:
                effects.end_reason = "unbound"
        elif command == Command.DELIVER_SM:
            effects.octets.append(encode_deliver_resp(sequence, Status.INVALID_BIND_STATUS))
        elif not command & RESPONSE_BIT and command != 0x102:
            # 0x102 is alert_notification (section 4.12.1), the one request without an answer.
            effects.octets.append(
                encode_pdu(Command.GENERIC_NACK, Status.INVALID_COMMAND_ID, sequence)
            )

    def _bind_answered(self, status: int, effects: Effects) -> None:
        if self.state is not SessionState.CONNECTED:
            return
        if status:
            self.refusal_status = status
            effects.end_reason = f"the carrier refused the bind with status 0x{status:08X}"
        else:
            self.state = SessionState.BOUND
            effects.bound = True

    def _nacked(self, sequence: int, status: int, effects: Effects) -> None:
        entry = self._pending.pop(sequence, None)
        if entry is not None:
            effects.outcomes.append(_refusal(entry[0], status or Status.SYSTEM_ERROR))
        elif self.state is SessionState.CONNECTED:
            self._bind_answered(status or Status.SYSTEM_ERROR, effects)

    # Time and the end

    def tick(self, now_s: float, *, ignore_silence: bool = False) -> Effects:
        """Overdue answers, idle links and dead ones; to be called about once a second.

        ``ignore_silence`` while the owner itself has stopped reading: nothing can be heard then.
        """
        effects = Effects()
        if ignore_silence:
            self._heard_s, self._enquired_s = now_s, None
            return effects
        self._report_overdue(now_s, effects)
        if self._unbind_asked is not None:
            self._grant_unbind(now_s, effects)
        elif self.state is SessionState.CONNECTED:
            if now_s - self._started_s >= self._response_timeout_s:
                effects.end_reason = "the carrier did not answer the bind"
        elif self._enquired_s is not None:
            if now_s - self._enquired_s >= self._enquire_timeout_s:
                effects.end_reason = "the carrier did not answer enquire_link"
        elif now_s - self._heard_s >= self._enquire_link_s:
            self._enquired_s = now_s
            effects.octets.append(encode_pdu(Command.ENQUIRE_LINK, 0, self._next()))
        return effects

    def _grant_unbind(self, now_s: float, effects: Effects) -> None:
        """Answer the carrier's unbind once nothing is unanswered, or it has waited enough.

        After unbind_resp no more answers come (section 4.2), so each one that is awaited would
        turn into an unknown outcome.
        """
        if self._unbind_asked is None:
            return
        sequence, asked_s = self._unbind_asked
        if not self._pending or now_s - asked_s >= UNBIND_PATIENCE_S:
            self._unbind_asked = None
            effects.octets.append(encode_pdu(Command.UNBIND_RESP, 0, sequence))
            effects.end_reason = "the carrier unbound"

    def _report_overdue(self, now_s: float, effects: Effects) -> None:
        limit_s = now_s - self._response_timeout_s
        overdue: list[int] = []
        for sequence, (_, written_s) in self._pending.items():
            if written_s > limit_s:
                break
            overdue.append(sequence)
        for sequence in overdue:
            key, _ = self._pending.pop(sequence)
            self._overdue[sequence] = key
            effects.outcomes.append(SubmitOutcome(key, Verdict.UNKNOWN))
        while len(self._overdue) > MAX_OVERDUE:
            del self._overdue[next(iter(self._overdue))]

    def end(self) -> list[SubmitOutcome]:
        """The connection is gone: what was written and not answered is UNKNOWN."""
        self.state = SessionState.ENDED
        outcomes = [SubmitOutcome(key, Verdict.UNKNOWN) for key, _ in self._pending.values()]
        self._pending.clear()
        self._overdue.clear()
        self._unacknowledged.clear()
        self._tail = b""
        return outcomes

    def _next(self) -> int:
        self._sequence = self._sequence + 1 if self._sequence < MAX_SEQUENCE else 1
        return self._sequence


def _refusal(key: object, status: int, *, late: bool = False) -> SubmitOutcome:
    verdict, code = meaning_of(status)
    return SubmitOutcome(key, verdict, "", code, status, late)
