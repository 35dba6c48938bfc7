"""Receipt texts as carriers write them, and ids as they spell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.sms.dlr import ReceiptText, canonical_id, find_receipt, id_candidates

BY_THE_BOOK = (
    "id:0123456789 sub:001 dlvrd:001 submit date:2603011000 done date:2603011001 "
    "stat:DELIVRD err:000 text:Hello there id:9"
)


def test_a_receipt_by_the_book() -> None:
    assert find_receipt(BY_THE_BOOK) == ReceiptText(
        "0123456789", "DELIVRD", "000", "2603011000", "2603011001"
    )


@pytest.mark.parametrize(
    ("text", "message_id", "stat", "err"),
    [
        ("ID:7F Stat:undeliv Err:00b", "7F", "UNDELIV", "00b"),
        ("stat:EXPIRED id:77", "77", "EXPIRED", ""),
        ("id: 77 stat: REJECTD err: 5", "77", "REJECTD", "5"),
        ("id:77\nstat:DELIVRD\nerr:0", "77", "DELIVRD", "0"),
        ("id:77 stat:DELIVERED", "77", "DELIVRD", ""),
        ("id:77 stat:DELIV", "77", "DELIVRD", ""),
        ("id:77 stat:DEL", "77", "UNKNOWN", ""),  # DELIVRD or DELETED: not guessed
        ("id:77 stat:UNDELIVERABLE", "77", "UNDELIV", ""),
        ("id:77 stat:ACC", "77", "ACCEPTD", ""),
        ("id:77 stat:FAILED", "77", "UNDELIV", ""),
        ("id:77 stat:PURPLE", "77", "UNKNOWN", ""),
        ("id:77 sub:001", "77", "UNKNOWN", ""),
        ("stat:ENROUTE", "", "ENROUTE", ""),
        ("id:77 submit_date:26 stat:DELETED", "77", "DELETED", ""),
        ("id:77 status:DELIVRD error:12 text:", "77", "DELIVRD", "12"),
        ("id:77,stat:DELIVRD,err:1", "77", "DELIVRD", "1"),
        ("text:hi id:77 stat:DELIVRD", "77", "DELIVRD", ""),
        ("id:4b1e-0a9c stat:DELIVRD\0", "4b1e-0a9c", "DELIVRD", ""),
    ],
)
def test_liberties_of_the_field_are_read(text: str, message_id: str, stat: str, err: str) -> None:
    found = find_receipt(text)
    assert found is not None
    assert (found.message_id, found.stat, found.err) == (message_id, stat, err)


@pytest.mark.parametrize(
    "text", ["", "Hello", "id:5", "my id: 5 please", "covid:19", "see text: x"]
)
def test_ordinary_texts_are_not_receipts(text: str) -> None:
    assert find_receipt(text) is None


@given(st.one_of(st.text(), st.text("id:stae r0\0\n,")))
def test_reading_never_raises(text: str) -> None:
    find_receipt(text)
    assert canonical_id(canonical_id(text)) == canonical_id(text)
    for id_format in ("auto", "same", "hex-dec", "dec-hex"):
        id_candidates(text, id_format)


@pytest.mark.parametrize(
    ("answer", "receipt", "id_format"),
    [
        ("0A1B", "2587", "auto"),  # acceptance scenario 15 d
        ("0A1B", "2587", "hex-dec"),
        ("0a1b", "0000002587", "auto"),
        ("2587", "0A1B", "auto"),
        ("0002587", "a1b", "dec-hex"),
        ("ABC", "00abc", "same"),
        ("12", "12", "same"),
        ("12", "12", "auto"),
        ("4B1E-0A9C", "4b1e-0a9c", "auto"),
        ("Msg_77", "Msg_77", "hex-dec"),
        ("0", "000", "same"),
        (" 77 ", "77\0", "same"),
    ],
)
def test_spellings_of_one_id_match(answer: str, receipt: str, id_format: str) -> None:
    assert canonical_id(answer) in id_candidates(receipt, id_format)


@pytest.mark.parametrize(
    ("answer", "receipt", "id_format"),
    [
        ("0A1B", "2587", "same"),
        ("0A1B", "2587", "dec-hex"),
        ("2587", "2587", "hex-dec"),
        ("Msg_77", "msg_77", "auto"),  # case may carry meaning
        ("77", "78", "auto"),
    ],
)
def test_other_ids_do_not_match(answer: str, receipt: str, id_format: str) -> None:
    assert canonical_id(answer) not in id_candidates(receipt, id_format)


def test_candidates_come_likeliest_first_and_once() -> None:
    assert id_candidates("2587", "auto") == ("2587", "a1b", "9607")
    assert id_candidates("5", "auto") == ("5",)
    assert id_candidates("  ", "auto") == ()
    with pytest.raises(ValueError, match="id_format"):
        id_candidates("5", "octal")


@given(st.integers(0, 2**64), st.booleans())
def test_any_number_matches_in_either_base(number: int, zeros: bool) -> None:
    written = f"{number:020X}" if zeros else f"{number:X}"
    assert canonical_id(written) in id_candidates(str(number), "auto")
    assert canonical_id(str(number)) in id_candidates(written, "auto")
