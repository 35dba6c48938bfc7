"""When a delivery that failed is tried again; pure, called for each failed attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Standard Webhooks 1.0, "Deliverability and reliability": the wait before each attempt.
SCHEDULE_S = (
    0.0,
    5.0,
    5 * 60.0,
    30 * 60.0,
    2 * 3600.0,
    5 * 3600.0,
    10 * 3600.0,
    14 * 3600.0,
    20 * 3600.0,
    24 * 3600.0,
)
MAX_ATTEMPTS = len(SCHEDULE_S)
# A wait grows by up to this share, so that what failed together does not come back together.
JITTER = 0.1
# A receiver cannot put an event off beyond the schedule's longest wait.
MAX_RETRY_AFTER_S = SCHEDULE_S[-1]
# From here on a delivery is given up however few attempts it had: an endpoint that hangs gets
# too few tries to end by their number. The schedule lasts 75.6 hours, 83.2 with jitter.
MAX_AGE_S = 96 * 3600.0


def next_wait_s(
    attempts: int,
    age_s: float,
    random_share: float,
    *,
    retry_after_s: float | None = None,
    scale: float = 1.0,
) -> float | None:
    """Seconds until the next attempt after ``attempts`` failed ones; None: give up.

    ``age_s`` counts from the event, ``random_share`` is a random number from 0 to 1,
    ``retry_after_s`` what the receiver asked for, ``scale`` shortens or stretches the schedule.
    """
    if attempts >= MAX_ATTEMPTS or age_s >= MAX_AGE_S * scale:
        return None
    wait_s = SCHEDULE_S[attempts] * scale * (1 + JITTER * random_share)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return wait_s


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110 section 10.2.3), or None."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a year or an hour of twenty digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
