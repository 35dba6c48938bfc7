"""When a send may leave: reads the ``sendAt`` that a client asked for; used by the fronts' sends.

Texts with a later moment are stored as ``scheduled``; a filter's job waits for it instead, so
that it goes to whom it matches then, with the consent of then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from viesti.kit.errors import Invalid

# A client's clock may be behind ours by so much; what lies further back is a mistake that
# nobody wants to be sent.
GRACE = timedelta(minutes=5)
FURTHEST = timedelta(days=366)


def read_send_at(text: str | None, now: datetime) -> datetime | None:
    """The moment that ``text`` (ISO 8601 with a zone) names; None: at once.

    Raises Invalid (GEN-400) for anything else, for more than five minutes ago and for more than
    a year ahead.
    """
    if text is None or not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            raise Invalid("sendAt needs a time zone: end it with Z for UTC.")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "sendAt is a time in ISO 8601 with its zone, such as 2026-11-24T15:30:00Z."
        ) from error
    if moment < now - GRACE:
        raise Invalid("sendAt lies in the past: leave it out to send at once.")
    if moment > now + FURTHEST:
        raise Invalid("sendAt lies more than a year ahead.")
    return moment if moment > now else None
