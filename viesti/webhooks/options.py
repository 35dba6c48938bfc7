"""The bounds that the delivery engine works within."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Bounds of one engine; ``retry_scale`` and small leases are for tests and drills."""

    timeout_s: float = 15.0
    retry_scale: float = 1.0
    lease_s: float = 60.0
    poll_s: float = 1.0
    # Claimed deliveries in memory; with bodies of up to 40 kB that is 80 MB at the very most.
    # Endpoints that are not known to answer get half of it together, those that fail no more
    # than their slots, so that hanging ones cannot use it up.
    max_held: int = 2000
    # Calls at once: to endpoints that answer or are unknown; reserved for those that answer;
    # and those that fail or take longer than ``FAST_S``. Together below 1,024 open files.
    fast_slots: int = 192
    reserved_slots: int = 64
    slow_slots: int = 640
    stop_s: float = 5.0
