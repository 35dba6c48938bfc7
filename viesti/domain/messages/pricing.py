"""Prices by destination country; used by the send and by inbound texts.

All amounts are micro-units of the account's currency: 1,000,000 is one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

MICROS_PER_UNIT = 1_000_000


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Price of one segment by country (ISO 3166-1 alpha-2); ``*`` is everywhere else."""

    outbound_micros: Mapping[str, int]
    inbound_micros: Mapping[str, int]

    def outbound(self, country: str, segments: int) -> int:
        return segments * self.outbound_micros.get(country, self.outbound_micros.get("*", 0))

    def inbound(self, country: str, segments: int) -> int:
        return segments * self.inbound_micros.get(country, self.inbound_micros.get("*", 0))


def get_prices(conn: psycopg.Connection) -> PriceTable:
    rows = conn.execute(
        "SELECT country, outbound_micros, inbound_micros FROM price_table"
    ).fetchall()
    return PriceTable({row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows})


def to_units(micros: int) -> float:
    """Micro-units as the number that the API shows."""
    return micros / MICROS_PER_UNIT
