"""viesti/inbound/addresses.py: one handset, however the carrier writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.inbound.addresses import Handset, numbers_agree, read_handset


@pytest.mark.parametrize(
    ("address", "country", "expected"),
    [
        ("+13475550199", "US", "+13475550199"),
        ("13475550199", "US", "+13475550199"),
        ("3475550199", "US", "+13475550199"),
        ("13475550199", "", "+13475550199"),
        ("447700900123", "GB", "+447700900123"),
        ("07911123456", "GB", "+447911123456"),
        ("447700900123", "US", "+447700900123"),
        ("33612345678", "FR", "+33612345678"),
        ("0612345678", "FR", "+33612345678"),
        ("358401234567", "US", "+358401234567"),
        ("0401234567", "FI", "+358401234567"),
        ("00358401234567", "US", "+358401234567"),
    ],
)
def test_a_number_becomes_e164(address: str, country: str, expected: str) -> None:
    assert read_handset(address, country).mobile == expected


@pytest.mark.parametrize("address", ["72345", "262966", "ACME", "1-800-FLOWERS", "Info SMS"])
def test_short_codes_and_names_stay_as_they_are(address: str) -> None:
    assert read_handset(address, "US") == Handset(address)


def test_nothing_is_somebody_unknown() -> None:
    assert read_handset("", "US") == Handset("unknown")
    assert read_handset("\0", "") == Handset("unknown")


@given(address=st.text(max_size=80), country=st.text(max_size=3))
def test_no_address_raises_and_all_can_be_stored(address: str, country: str) -> None:
    mobile = read_handset(address, country).mobile
    assert 0 < len(mobile) <= 40
    assert "\0" not in mobile
    mobile.encode()


@pytest.mark.parametrize(
    ("other", "agrees"),
    [("13475550199", True), ("3475550199", True), ("5550199", True), ("+13475550198", False)],
)
def test_numbers_agree_by_their_last_digits(other: str, agrees: bool) -> None:
    assert numbers_agree("+13475550199", other, 7) == agrees
