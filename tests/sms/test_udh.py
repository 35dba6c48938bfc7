"""User data headers: our own read back, the odd ones of others survived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.udh import Concatenation, build_udh, find_concatenation, parse_udh


@given(st.data(), st.booleans(), st.binary(max_size=140))
def test_what_is_built_is_found(data: st.DataObject, wide: bool, body: bytes) -> None:
    total = data.draw(st.integers(1, 255))
    sequence = data.draw(st.integers(1, total))
    reference = data.draw(st.integers(0, 0xFFFF if wide else 0xFF))
    concatenation = Concatenation(reference, total, sequence, wide)
    assert find_concatenation(build_udh(concatenation) + body) == (concatenation, body)


@given(st.binary(max_size=200))
def test_hostile_headers_never_raise(payload: bytes) -> None:
    found, body = find_concatenation(payload)
    assert payload.endswith(body)
    assert found is None or 1 <= found.sequence <= found.total


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ("", ""),
        ("0500030a0201", ""),  # a header and nothing behind it
        ("ff414243", "ff414243"),  # longer than the payload: no header
        ("00414243", "414243"),  # an empty header
        ("05000341424344", "44"),  # part 0x43 of 0x42
        ("0500030a000141", "41"),  # total 0
        ("0500030a020041", "41"),  # sequence 0
        ("0500ff0a020141", "41"),  # an element that overruns its header
        ("04000201 0241".replace(" ", ""), "41"),  # an element of the wrong length
        ("0100 41".replace(" ", ""), "41"),  # half an element
    ],
)
def test_malformed_headers_leave_the_body(payload: str, body: str) -> None:
    found, left = find_concatenation(bytes.fromhex(payload))
    assert left.hex() == body
    if payload != "0500030a0201":
        assert found is None


def test_other_elements_are_passed_over_and_the_last_concatenation_counts() -> None:
    payload = bytes.fromhex("10" + "0504158a0000" + "0003010201" + "0003020202" + "41")
    assert parse_udh(payload)[0][0] == (5, bytes.fromhex("158a0000"))
    assert find_concatenation(payload) == (Concatenation(2, 2, 2), b"A")


@pytest.mark.parametrize(
    "concatenation",
    [
        Concatenation(256, 2, 1),
        Concatenation(65_536, 2, 1, wide=True),
        Concatenation(-1, 2, 1),
        Concatenation(1, 256, 1),
        Concatenation(1, 2, 3),
        Concatenation(1, 2, 0),
    ],
)
def test_what_does_not_fit_is_not_built(concatenation: Concatenation) -> None:
    with pytest.raises(ValueError, match=r"."):
        build_udh(concatenation)
