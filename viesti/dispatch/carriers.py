"""Carrier accounts as dispatch needs them, read from the database with their secrets opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog

from viesti.carriers.smpp.client import SmppSettings
from viesti.domain.senders.service import PASSWORD_PURPOSE
from viesti.kit.errors import Unavailable
from viesti.kit.secrets import PlatformKey

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CarrierRow:
    """An enabled carrier; two rows are equal when nothing that dispatch uses has changed."""

    id: UUID
    name: str
    smpp: SmppSettings = field(repr=False)
    rate_per_s: float
    max_binds: int
    receipts: str
    resend_unknown: bool


def load_carriers(conn: psycopg.Connection, key: PlatformKey) -> dict[UUID, CarrierRow]:
    """Every enabled carrier by id. One whose settings cannot be read is left out."""
    rows: list[tuple[Any, ...]] = conn.execute(
        'SELECT id, name, settings, secret_encrypted, "window", rate_per_s, max_binds, receipts,'
        " unknown_outcome FROM carriers WHERE enabled AND kind = 'smpp'"
    ).fetchall()
    found: dict[UUID, CarrierRow] = {}
    for id_, name, settings, secret, window, rate, max_binds, receipts, unknown in rows:
        try:
            smpp = SmppSettings(
                host=settings["host"],
                port=int(settings["port"]),
                system_id=settings["system_id"],
                password=key.decrypt(PASSWORD_PURPOSE, bytes(secret)).decode(),
                bind_mode=settings.get("bind_mode", "transceiver"),
                window=window,
            )
        except (KeyError, ValueError, Unavailable) as error:
            # The others are served all the same.
            log.error("carrier_unusable", carrier=name, error=type(error).__name__)
            continue
        found[id_] = CarrierRow(id_, name, smpp, rate, max_binds, receipts, unknown == "resend")
    return found


def find_id_format(conn: psycopg.Connection, carrier_id: UUID) -> str:
    """How the carrier's receipts spell ids: as set up, else as learned, else auto."""
    row = conn.execute(
        "SELECT CASE WHEN c.id_format = 'auto' THEN COALESCE(s.learned_id_format, 'auto')"
        " ELSE c.id_format END FROM carriers c LEFT JOIN carrier_state s ON s.carrier_id = c.id"
        " WHERE c.id = %s",
        (carrier_id,),
    ).fetchone()
    return row[0] if row else "auto"
