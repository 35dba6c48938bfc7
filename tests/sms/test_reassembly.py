"""Joining inbound parts: any order, any coding, with gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.reassembly import GAP, decode_text, join_parts


def test_order_of_arrival_does_not_matter() -> None:
    assert join_parts({3: b"c", 1: b"a", 2: b"b"}, 3, 0x00) == "abc"


def test_pairs_cut_by_a_careless_sender_are_whole_again() -> None:
    assert join_parts({1: b"5 \x1b", 2: b"\x65"}, 2, 0x00) == "5 €"
    assert join_parts({1: b"\xd8\x3d", 2: b"\xde\x00"}, 2, 0x08) == "\U0001f600"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({1: b"a", 3: b"c"}, f"a{GAP}c"),
        ({2: b"b"}, f"{GAP}b{GAP}"),
        ({1: b"a", 5: b"e"}, f"a{GAP}e"),
        ({}, GAP),
        ({1: b"a", 9: b"x"}, f"a{GAP}"),
    ],
)
def test_missing_parts_show_as_gaps(parts: dict[int, bytes], text: str) -> None:
    assert join_parts(parts, 5 if 5 in parts else 3, 0x00) == text


@pytest.mark.parametrize(
    ("octets", "data_coding", "text"),
    [
        (b"\x00A", 0x00, "@A"),
        (b"@A", 0x01, "@A"),
        (b"\xe9", 0x03, "é"),
        (b"\x04\x16", 0x08, "Ж"),
        (b"\xb6", 0x06, "Ж"),
        (b"\x00", 0x10, "@"),  # class 0 (flash), default alphabet
        (b"\x04\x16", 0x18, "Ж"),  # class 0, UCS-2
        (b"\x00", 0xF1, "@"),
        (b"\xe9", 0xF5, "é"),
        (b"\x04\x16", 0xE0, "Ж"),
    ],
)
def test_data_codings_of_the_field_are_read(octets: bytes, data_coding: int, text: str) -> None:
    assert decode_text(octets, data_coding) == text


@given(
    st.dictionaries(st.integers(-2, 300), st.binary(max_size=20)),
    st.integers(0, 255),
    st.integers(0, 255),
)
def test_joining_never_raises(parts: dict[int, bytes], total: int, data_coding: int) -> None:
    assert isinstance(join_parts(parts, total, data_coding), str)
