"""GSM 03.38 and UCS-2: what is in the alphabet, and that nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.alphabet import (
    decode_gsm,
    decode_ucs2,
    encode_gsm,
    encode_ucs2,
    find_gsm,
    find_ucs2_characters,
    is_gsm,
)

# 3GPP TS 23.038 section 6.2.1, column by column.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
gsm_text = st.text(st.sampled_from(BASIC + EXTENSION))
whole_text = st.text(st.characters(exclude_categories=["Cs"]))


def test_the_alphabet_is_the_standards_and_nothing_more() -> None:
    accepted = {chr(code) for code in range(0x11000) if is_gsm(chr(code))}
    assert accepted == set(BASIC + EXTENSION)
    assert len(BASIC) == 127


@pytest.mark.parametrize(
    ("char", "octets"),
    [
        ("@", "00"), ("£", "01"), ("\n", "0a"), ("\r", "0d"), ("Δ", "10"), ("_", "11"),
        ("Ξ", "1a"), ("Æ", "1c"), ("É", "1f"), (" ", "20"), ("¤", "24"), ("¡", "40"),
        ("A", "41"), ("Z", "5a"), ("Ä", "5b"), ("§", "5f"), ("¿", "60"), ("a", "61"),
        ("z", "7a"), ("à", "7f"), ("\f", "1b0a"), ("^", "1b14"), ("{", "1b28"), ("}", "1b29"),
        ("\\", "1b2f"), ("[", "1b3c"), ("~", "1b3d"), ("]", "1b3e"), ("|", "1b40"),
        ("€", "1b65"),
    ],
)  # fmt: skip
def test_codes_are_the_standards(char: str, octets: str) -> None:
    assert encode_gsm(char).hex() == octets
    assert decode_gsm(bytes.fromhex(octets)) == char


@given(gsm_text)
def test_gsm_text_survives_the_round_trip(text: str) -> None:
    assert decode_gsm(encode_gsm(text)) == text


@given(st.text())
def test_the_three_questions_about_an_alphabet_agree(text: str) -> None:
    forcing = find_ucs2_characters(text)
    assert is_gsm(text) == (find_gsm(text) is not None) == (not forcing)
    for position, char in forcing:
        assert text[position] == char


@given(whole_text)
def test_any_text_survives_ucs2(text: str) -> None:
    assert decode_ucs2(encode_ucs2(text)) == text.removeprefix("\ufeff")


@given(st.binary())
def test_decoding_never_raises(octets: bytes) -> None:
    decode_gsm(octets)
    decode_ucs2(octets)


def test_characters_that_force_ucs2_are_named_with_their_place() -> None:
    assert find_ucs2_characters("Zoë €5 ”") == [(2, "ë"), (7, "”")]
    with pytest.raises(ValueError, match=r"U\+00EB at 2"):
        encode_gsm("Zoë")


@pytest.mark.parametrize("text", ["\0", "a\0b", "\x1b", "@\0", "\x80", "ç", "\ufffe"])
def test_lookalikes_and_controls_are_not_in_the_alphabet(text: str) -> None:
    assert not is_gsm(text)
    assert find_gsm(text) is None


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("1b41", "A"),  # no extension character there: the default table's
        ("1b00", "@"),
        ("1b1b41", " A"),  # reserved for a further table: a space
        ("1b", " "),
        ("411b", "A "),
        ("80ff41", "\ufffd\ufffdA"),
        ("", ""),
    ],
)
def test_odd_septets_read_as_the_standard_says(octets: str, text: str) -> None:
    assert decode_gsm(bytes.fromhex(octets)) == text


def test_half_surrogates_become_the_replacement_character() -> None:
    assert decode_ucs2(encode_ucs2("a\ud83db")) == "a\ufffdb"
    assert decode_ucs2(bytes.fromhex("d83d0041")) == "\ufffdA"
    assert decode_ucs2(b"\x00A\x00") == "A\ufffd"
