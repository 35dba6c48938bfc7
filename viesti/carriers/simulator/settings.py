"""How a simulated phone network is set up; read by ``server`` and by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

IdFormat = Literal["same", "hex-dec", "dec-hex"]
ReceiptForm = Literal["text", "tlv", "both"]


def _default_accounts() -> dict[str, str]:
    return {"viesti": "viesti"}


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Ports of 0 are chosen by the system; ``Simulator`` says which they became."""

    host: str = "127.0.0.1"
    smpp_port: int = 2775
    http_host: str = "127.0.0.1"  # apart from host: the page has no password
    http_port: int = 8081
    accounts: dict[str, str] = field(default_factory=_default_accounts)  # system_id -> password
    receipt_delay_s: float = 0.1
    response_delay_s: float = 0.0
    # How many deliver_sm may wait for their answer on one bind.
    deliver_window: int = 1000
    deliver_timeout_s: float = 30.0
    # After which a deliver_sm that was refused or not answered in time is sent again.
    redelivery_delay_s: float = 1.0
    bind_timeout_s: float = 30.0
    max_connections: int = 500
    # Rings and bounds: nothing here grows with traffic past these.
    log_size: int = 50_000
    handsets_kept: int = 2_000
    texts_kept_per_handset: int = 100
    deliveries_kept: int = 500_000
    # Where pdus.jsonl is written, if wanted: every PDU, until the file reaches its bound and is
    # started anew (one older file is kept).
    log_folder: Path | None = None
    log_file_octets: int = 64 * 1024 * 1024
