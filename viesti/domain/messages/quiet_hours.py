"""When a bulk text may go out: 08:00 to 21:00 where the recipient is; used by the send.

A number may belong to several zones (a mobile number of a country that spans them): every one
of them must be inside the window (product decisions, "quiet hours in detail").
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers.timezone import time_zones_for_geographical_number

OPENS = time(8, 0)
CLOSES = time(21, 0)
# A window that is open in every zone of a number opens within two days, if it ever does.
_SEARCH_STEP = timedelta(minutes=15)
_SEARCH_STEPS = 2 * 24 * 4


def next_allowed(mobile: str, account_zone: str, now: datetime) -> datetime:
    """``now`` if the recipient may be texted, else the next moment at which it may.

    Where the zones of a number share no open hour the account's own zone decides.
    """
    zones = _zones(mobile[:8]) or (account_zone,)
    return _next_open(zones, now) or _next_open((account_zone,), now) or now


def _next_open(names: tuple[str, ...], now: datetime) -> datetime | None:
    zones = [_zone(name) for name in names]
    if _is_open(zones, now):
        return now
    start = now.astimezone(UTC).replace(second=0, microsecond=0)
    start -= timedelta(minutes=start.minute % 15)
    for step in range(1, _SEARCH_STEPS):
        moment = start + step * _SEARCH_STEP
        if _is_open(zones, moment):
            return moment
    return None


def _is_open(zones: list[ZoneInfo], moment: datetime) -> bool:
    return all(OPENS <= moment.astimezone(zone).time() < CLOSES for zone in zones)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=65_536)
def _zones(prefix: str) -> tuple[str, ...]:
    """The zones of numbers that begin with ``prefix``; empty where none is known."""
    try:
        number = phonenumbers.parse(prefix.ljust(12, "0"))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(
        name for name in time_zones_for_geographical_number(number) if name != "Etc/Unknown"
    )
