"""What one attempt means: accepted, put off, given up, or the endpoint is gone; pure but for time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from viesti.kit.clock import utc_now
from viesti.kit.safe_http import Answer
from viesti.webhooks.claim import Claimed
from viesti.webhooks.outcomes import Outcome
from viesti.webhooks.retry import next_wait_s, parse_retry_after

GONE = 410
RESPONSE_CHARS = 500


def judge(
    delivery: Claimed,
    answer: Answer | None,
    error: str,
    at: datetime,
    duration_ms: int,
    retry_scale: float,
) -> Outcome:
    """The outcome of a call that got ``answer``, or none because of ``error``.

    Only 2xx is a success (Standard Webhooks 1.0); a redirect is a failure like any other.
    """
    status = answer.status if answer else None
    accepted = status is not None and 200 <= status < 300
    gone = status == GONE
    retry_at = None
    now = utc_now()
    if not accepted and not gone:
        asked = parse_retry_after(answer.headers.get("Retry-After"), now) if answer else None
        wait_s = next_wait_s(
            delivery.attempts + 1,
            (now - delivery.created_at).total_seconds(),
            random.random(),  # noqa: S311
            retry_after_s=asked,
            scale=retry_scale,
        )
        retry_at = None if wait_s is None else now + timedelta(seconds=wait_s)
    return Outcome(
        delivery=delivery,
        accepted=accepted,
        retry_at=retry_at,
        gone=gone,
        status_code=status,
        error=error,
        response=_response_text(answer.body) if answer and not accepted else "",
        duration_ms=duration_ms,
        at=at,
    )


def _response_text(body: bytes) -> str:
    # PostgreSQL's text holds no NUL.
    return body.decode("utf-8", "replace").replace("\x00", "")[:RESPONSE_CHARS]
