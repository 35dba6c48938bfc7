"""Carrier accounts and the senders that texts leave from."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from uuid import UUID


class CarrierKind(enum.Enum):
    SMPP = "smpp"


class SenderType(enum.Enum):
    LONG_CODE = "long_code"
    TOLL_FREE = "toll_free"
    SHORT_CODE = "short_code"
    ALPHANUMERIC = "alphanumeric"


class BindMode(enum.Enum):
    TRANSCEIVER = "transceiver"
    TX_RX = "tx_rx"  # a transmitter and a receiver, for SMSCs without transceivers


class IdFormat(enum.Enum):
    """How receipts spell the message ids of answers: answer's base first, then the receipt's."""

    AUTO = "auto"  # learned from unambiguous matches
    SAME = "same"
    HEX_DEC = "hex-dec"
    DEC_HEX = "dec-hex"


class ReceiptHabit(enum.Enum):
    """Which segments of a text the carrier confirms."""

    EACH = "each"
    FIRST = "first"
    LAST = "last"
    NONE = "none"


class UnknownOutcome(enum.Enum):
    """What becomes of a segment whose answer never came."""

    HOLD = "hold"
    RESEND = "resend"  # at least once: the handset may get it twice


@dataclass(frozen=True, slots=True)
class CarrierHabits:
    """In what a carrier may differ from the usual."""

    bind_mode: BindMode = BindMode.TRANSCEIVER
    id_format: IdFormat = IdFormat.AUTO
    receipts: ReceiptHabit = ReceiptHabit.EACH
    unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD


USUAL_HABITS = CarrierHabits()


@dataclass(frozen=True, slots=True)
class SmppAccount:
    """How to reach a carrier's SMSC and as whom."""

    host: str
    port: int
    system_id: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CarrierAccount:
    id: UUID
    name: str
    kind: CarrierKind


@dataclass(frozen=True, slots=True)
class Sender:
    id: UUID
    account_id: UUID
    carrier_id: UUID
    number: str
    type: SenderType
    country: str  # ISO 3166-1 alpha-2, empty where a sender has none
