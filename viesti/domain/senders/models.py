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
