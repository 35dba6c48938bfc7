"""The retry schedule: its waits, its end, and what a receiver may ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.webhooks.retry import (
    JITTER,
    MAX_AGE_S,
    MAX_ATTEMPTS,
    SCHEDULE_S,
    next_wait_s,
    parse_retry_after,
)

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_waits_are_those_of_the_schedule() -> None:
    waits = [next_wait_s(attempts, 0.0, 0.0) for attempts in range(MAX_ATTEMPTS + 1)]
    assert waits == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, None]


@given(st.integers(0, MAX_ATTEMPTS - 1), st.floats(0, 1))
def test_jitter_only_adds_and_only_a_little(attempts: int, share: float) -> None:
    wait = next_wait_s(attempts, 0.0, share)
    assert wait is not None
    assert SCHEDULE_S[attempts] <= wait <= SCHEDULE_S[attempts] * (1 + JITTER) + 1e-6


def test_the_age_ends_the_schedule_too() -> None:
    assert sum(SCHEDULE_S) * (1 + JITTER) < MAX_AGE_S
    assert next_wait_s(1, MAX_AGE_S, 0.0) is None


def test_retry_after_lengthens_and_never_shortens() -> None:
    assert next_wait_s(1, 0.0, 0.0, retry_after_s=60.0) == 60.0
    assert next_wait_s(2, 0.0, 0.0, retry_after_s=60.0) == 300.0
    assert next_wait_s(1, 0.0, 0.0, retry_after_s=1e9) == 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999999999.0),
        ("Sun, 01 Mar 2026 10:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 09:00:00 GMT", 0.0),
        ("Sun, 99 Mar 2026 09:00:00 GMT", None),
        ("Sun, 01 Mar 99999999999999999999 09:00:00 GMT", None),
        ("Sun, 01 Mar 2026 99999999999999999999:00:00 GMT", None),
        ("Sun, 01 Mar 2026 09:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
