"""Segment arithmetic: every row of acceptance scenario 3, and the properties behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.alphabet import decode_gsm, decode_ucs2, is_gsm
from viesti.sms.reassembly import join_parts
from viesti.sms.segments import (
    EncodedText,
    Encoding,
    count_segments,
    encode_message,
    smart_encode,
    split_text,
)
from viesti.sms.udh import find_concatenation

EMOJI = "\U0001f600"
GSM, UCS2 = Encoding.GSM7, Encoding.UCS2

# Long texts near the borders, with pairs at every place: that is where arithmetic breaks.
units = st.sampled_from(["a", "Z", "€", "[", "@", "ж", "ë", EMOJI, "\n", "\\"])
runs = st.lists(st.tuples(units, st.integers(1, 160)), max_size=8)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=400),
    runs.map(lambda parts: "".join(char * times for char, times in parts)),
    st.lists(st.sampled_from("a€[b"), min_size=140, max_size=480).map("".join),
    st.lists(st.sampled_from(["ж", EMOJI]), min_size=60, max_size=210).map("".join),
)


@pytest.mark.parametrize(
    ("text", "encoding", "segments", "length"),
    [
        ("", GSM, 1, 0),
        ("a" * 160, GSM, 1, 160),
        ("a" * 161, GSM, 2, 161),
        ("a" * 306, GSM, 2, 306),
        ("a" * 307, GSM, 3, 307),
        ("a" * 459, GSM, 3, 459),
        ("a" * 460, GSM, 4, 460),
        ("a" * 1530, GSM, 10, 1530),
        ("a" * 1531, GSM, 11, 1531),
        ("€" * 80, GSM, 1, 160),
        ("€" * 81, GSM, 2, 162),
        ("ж" * 70, UCS2, 1, 70),
        ("ж" * 71, UCS2, 2, 71),
        ("ж" * 134, UCS2, 2, 134),
        ("ж" * 135, UCS2, 3, 135),
        ("ж" * 670, UCS2, 10, 670),
        ("ж" * 671, UCS2, 11, 671),
        ("ж" * 69 + EMOJI, UCS2, 2, 71),
        ("[" * 85 + EMOJI, UCS2, 2, 87),  # extension characters count once in UCS-2
        ("a" * 152 + "€" + "b" * 152, GSM, 3, 306),  # the pair may not be split
        ("ж" * 66 + EMOJI + "ж" * 66, UCS2, 3, 134),  # nor the surrogates
        ("Hi Zoë, plan gold", UCS2, 1, 17),
    ],
)
def test_segments_of_scenario_3(text: str, encoding: Encoding, segments: int, length: int) -> None:
    counted = count_segments(text)
    assert (counted.encoding, counted.segments, counted.units) == (encoding, segments, length)
    assert split_text(text).segments == segments
    assert encode_message(text, 7).segments == segments


def bodies(message: EncodedText) -> dict[int, bytes]:
    if message.segments == 1:
        return {1: message.parts[0]}
    found: dict[int, bytes] = {}
    for payload in message.parts:
        concatenation, body = find_concatenation(payload)
        assert concatenation is not None
        assert concatenation.total == message.segments
        found[concatenation.sequence] = body
    assert set(found) == set(range(1, message.segments + 1))
    return found


@given(texts, st.integers(0, 70_000), st.booleans())
def test_parts_join_to_the_original(text: str, reference: int, wide: bool) -> None:
    message = encode_message(text, reference, wide)
    joined = join_parts(bodies(message), message.segments, message.data_coding)
    assert joined == text.removeprefix("\ufeff")


@given(texts)
def test_the_count_equals_the_parts(text: str) -> None:
    counted = count_segments(text)
    message = split_text(text)
    assert (counted.encoding, counted.segments) == (message.encoding, message.segments)
    assert (counted.encoding is GSM) == is_gsm(text)
    octets_per_unit = 1 if counted.encoding is GSM else 2
    assert counted.units * octets_per_unit == sum(len(part) for part in message.parts)


@given(texts, st.booleans())
def test_every_part_fits_140_octets(text: str, wide: bool) -> None:
    message = encode_message(text, 1, wide)
    header = (7 if wide else 6) if message.segments > 1 else 0
    for payload in message.parts:
        if message.encoding is UCS2:
            assert len(payload) <= 140
        else:
            # A packed header is padded to the next septet: 3GPP TS 23.040 section 9.2.3.24.
            septets = -(-header * 8 // 7) + len(payload) - header
            assert septets <= 160
            assert -(-septets * 7 // 8) <= 140


@given(texts)
def test_each_part_reads_well_alone(text: str) -> None:
    message = split_text(text)
    decode = decode_gsm if message.encoding is GSM else decode_ucs2
    if not text.startswith("\ufeff") and "\ufeff" not in text:
        assert "".join(decode(part) for part in message.parts) == text


def test_headers_carry_reference_total_and_sequence() -> None:
    narrow = encode_message("a" * 307, 0x1FE)
    assert [part[:6].hex() for part in narrow.parts] == [
        "050003fe0301", "050003fe0302", "050003fe0303",
    ]  # fmt: skip
    wide = encode_message("a" * 305, 0xBEEF, wide_reference=True)
    assert [part[:7].hex() for part in wide.parts] == [
        "060804beef0301", "060804beef0302", "060804beef0303",
    ]  # fmt: skip
    assert [len(part) for part in wide.parts] == [159, 159, 8]


def test_a_single_part_has_no_header() -> None:
    assert encode_message("Hello", 9).parts == (b"Hello",)
    assert encode_message("ж", 9).data_coding == 0x08
    assert encode_message("", 9).parts == (b"",)


def test_more_parts_than_a_header_can_count_are_refused() -> None:
    assert count_segments("a" * 153 * 256).segments == 256
    with pytest.raises(ValueError, match="256 parts"):
        encode_message("a" * 153 * 256, 1)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\u201cIt\u2019s here\u201d \u2013 really\u2026", '"It\'s here" - really...'),
        ("10\u00a0000\u200b kr", "10 000 kr"),
        ("plain", "plain"),
        ("\u201cжж\u201d", "\u201cжж\u201d"),  # UCS-2 anyway: nothing is taken away
        ("Zoë\u2019s", "Zoë\u2019s"),
    ],
)
def test_smart_encoding_only_where_it_saves(text: str, sent: str) -> None:
    assert smart_encode(text) == sent


@given(st.text())
def test_smart_encoding_never_costs_more(text: str) -> None:
    assert count_segments(smart_encode(text)).segments <= count_segments(text).segments
