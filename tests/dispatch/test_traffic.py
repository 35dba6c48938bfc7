"""Rates over the last 15 seconds."""

from __future__ import annotations

import pytest

from viesti.dispatch.traffic import Meter


def test_the_first_note_says_nothing_of_a_rate() -> None:
    assert Meter().note(5.0, {"submitted": 7}) == {"submitted": 0.0}


def test_a_young_meter_goes_by_its_age() -> None:
    meter = Meter()
    meter.note(0.0, {"submitted": 0})
    assert meter.note(2.0, {"submitted": 10}) == {"submitted": 5.0}
    assert meter.note(10.0, {"submitted": 10}) == {"submitted": 1.0}


def test_what_was_before_the_window_no_longer_counts() -> None:
    meter = Meter()
    meter.note(0.0, {"submitted": 0, "receipts": 0})
    meter.note(2.0, {"submitted": 600, "receipts": 0})
    for second in range(4, 70, 2):
        rates = meter.note(second, {"submitted": 600, "receipts": second})
    assert rates["submitted"] == 0
    assert rates["receipts"] == pytest.approx(1, abs=0.05)


def test_counters_that_start_again_start_the_window_again() -> None:
    meter = Meter()
    meter.note(0.0, {"submitted": 1000})
    assert meter.note(2.0, {"submitted": 4}) == {"submitted": 0.0}
    assert meter.note(4.0, {"submitted": 8}) == {"submitted": 2.0}
