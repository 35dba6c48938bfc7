"""What dispatch and a carrier say to each other, whatever the wire.

Dispatch hands over ``Submit``s (one per segment) and hears ``SubmitOutcome``s and
``Delivery``s in batches, through one ``CarrierEvents`` that it implements. A carrier keeps no
state that outlives its connection: what must not be lost is in the database.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Verdict(enum.Enum):
    """What a carrier's answer, or the lack of one, means for a segment."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # final: never submitted again
    THROTTLED = "throttled"  # not taken; slow down, then submit again
    RETRY = "retry"  # not taken for a passing reason; submit again later
    UNKNOWN = "unknown"  # written, no answer: perhaps taken, so never blindly resent


class ReceiptState(enum.Enum):
    """The final and passing states of SMPP 3.4 section 5.2.28, by their receipt words."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVRD"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIV"
    ACCEPTED = "ACCEPTD"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTD"


@dataclass(frozen=True, slots=True)
class Submit:
    """One segment on its way out. ``key`` is dispatch's own and comes back in the outcome."""

    key: object
    source: str  # E.164 with plus, a short code, or an alphanumeric sender
    destination: str  # E.164 with plus
    payload: bytes  # short_message as it goes on the wire, user data header included
    data_coding: int  # SMPP 3.4 section 5.2.19: 0x00 default alphabet, 0x08 UCS-2
    has_udh: bool  # esm_class bit 0x40
    reference: int | None = None  # user_message_reference, 0..65535


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    key: object
    verdict: Verdict
    carrier_message_id: str = ""  # set when accepted
    error_code: str = ""  # ours (MSG-...), set when refused, throttled or to be retried
    carrier_status: int = 0  # the carrier's own number, for logs
    late: bool = False  # an answer that came after its UNKNOWN was reported


@dataclass(frozen=True, slots=True)
class Receipt:
    carrier_message_id: str
    state: ReceiptState
    carrier_error: str = ""  # the carrier's err field, as written
    reference: int | None = None  # echoed user_message_reference


@dataclass(frozen=True, slots=True)
class Delivery:
    """An inbound PDU: a receipt if ``receipt`` is set, else (a part of) a handset's text.

    It is acknowledged by ``Carrier.acknowledge`` and only after its effect is committed.
    """

    token: object  # the carrier's own: which PDU of which connection
    source: str  # the handset, E.164 with plus where the carrier says so
    destination: str  # our sender
    payload: bytes
    data_coding: int
    has_udh: bool
    receipt: Receipt | None = None


class CarrierEvents(Protocol):
    """Heard by dispatch. Called on the event loop; must not block or await."""

    def on_outcomes(self, outcomes: Sequence[SubmitOutcome]) -> None: ...

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None: ...

    def on_bound(self) -> None: ...

    def on_unbound(self, reason: str) -> None: ...


class Carrier(Protocol):
    """One leased bind to a carrier account."""

    @property
    def is_bound(self) -> bool: ...

    @property
    def room(self) -> int:
        """How many segments may be submitted now: the window less what is unanswered."""
        ...

    def submit(self, segments: Sequence[Submit]) -> None:
        """Write ``segments`` (at most ``room``) in one go. Their outcomes follow as events."""
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge inbound PDUs whose effect is committed. Stale tokens are ignored."""
        ...

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        """Answer that they could not be taken now, so that the carrier sends them again."""
        ...

    async def run(self) -> None:
        """Connect, bind, serve, reconnect with jittered back-off, until ``close``."""
        ...

    async def close(self, drain_s: float) -> None:
        """Stop submitting, wait up to ``drain_s`` for answers, unbind."""
        ...
