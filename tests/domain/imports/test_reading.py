"""From octets to rows: encodings, separators, line ends, quotes, headers, and what is no CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from viesti.domain.contacts.models import ParsedContact
from viesti.domain.imports.charset import read_text
from viesti.domain.imports.columns import has_mobile, read_header
from viesti.domain.imports.records import MAX_RECORD_CHARS, read_records
from viesti.domain.imports.rows import RefusedRow, RowReader
from viesti.kit.errors import Invalid, UnsupportedMedia, ViestiError

HEADER = ["Mobile", "Name", "Note"]


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    return (octets[at : at + size] for at in range(0, len(octets), size))


def read(octets: bytes, charset: str = "", size: int = 65_536) -> list[list[str]]:
    header, rows = read_records(read_text(pieces(octets, size), charset), has_mobile)
    return [header, *rows]


def refusal(octets: bytes, charset: str = "") -> ViestiError:
    with pytest.raises(ViestiError) as caught:
        read(octets, charset)
    return caught.value


cells = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12
)  # NUL, line ends and quotes among them
western_cells = st.text(st.characters(codec="cp1252"), max_size=12)
tables = st.lists(st.lists(cells, min_size=3, max_size=3).filter(any), max_size=8)
western_tables = st.lists(st.lists(western_cells, min_size=3, max_size=3).filter(any), max_size=8)
separators = st.sampled_from([",", ";", "\t"])
line_ends = st.sampled_from(["\r\n", "\n", "\r"])
quotings = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])


def written(table: list[list[str]], separator: str, line_end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    if any(sign in cell for row in table for cell in row for sign in "\r\n"):
        # Before Python 3.13 the writer leaves line ends unquoted that are not its own.
        quoting = csv.QUOTE_ALL
    csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting).writerows(table)
    return text.getvalue()


@settings(deadline=None)
@given(
    tables,
    separators,
    line_ends,
    quotings,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    st.integers(1, 40),
)
def test_every_table_reads_back_equal_in_any_unicode_and_however_it_arrives(
    table: list[list[str]], separator: str, line_end: str, quoting: int, encoding: str, size: int
) -> None:
    octets = written([HEADER, *table], separator, line_end, quoting).encode(encoding)
    assert read(octets, size=size) == [HEADER, *table]


@settings(deadline=None)
@given(western_tables, separators, line_ends, quotings, st.booleans(), st.integers(1, 40))
def test_every_table_reads_back_equal_in_windows_1252(
    table: list[list[str]], separator: str, line_end: str, quoting: int, named: bool, size: int
) -> None:
    text = written([HEADER, *table], separator, line_end, quoting)
    octets = text.encode("cp1252")
    if not named:
        # Signs that happen to be valid UTF-8 are taken for it.
        assume(
            all(
                ord(sign) < 0x80 or not octets.decode("utf-8", "ignore").count(sign)
                for sign in text
            )
        )
    try:
        octets.decode("utf-8")
        assume(named or octets.isascii())
    except UnicodeDecodeError:
        pass
    assert read(octets, "windows-1252" if named else "", size) == [HEADER, *table]


@pytest.mark.parametrize(
    ("octets", "rows"),
    [
        (b"Mobile,N\n1,a", [["1", "a"]]),
        (b"\n\r\n ,\nMobile,N\n1,a\n\n\n,\n2,b\n\n", [["1", "a"], ["2", "b"]]),
        (b'sep=;\r\nMobile;N\r\n1;"a;b"\r\n', [["1", "a;b"]]),
        (b"Mobile\r1\r2\r", [["1"], ["2"]]),
        (b'Mobile,"The\nNote"\n1,"x\r\ny"\n', [["1", "x\r\ny"]]),
        (b'Mobile,N\n1,5" pipe\n2,"a ""b"""\n', [["1", '5" pipe'], ["2", 'a "b"']]),
        (b"Mobile,N\n1,a\0b\n", [["1", "a\0b"]]),
        ("Mobile,N\n1,a\u2028b\x0bc\x85\n".encode(), [["1", "a\u2028b\x0bc\x85"]]),
        (b"Mobile;N,M\n1;a,b\n", [["1", "a,b"]]),
        (b"Mobile,N\n1\n2,b,c\n", [["1"], ["2", "b", "c"]]),
    ],
)
def test_what_programs_write_is_read(octets: bytes, rows: list[list[str]]) -> None:
    for size in (1, 7, 65_536):
        assert read(octets, size=size)[1:] == rows


def test_octets_that_are_not_utf_8_are_windows_1252_unless_a_charset_says_else() -> None:
    assert read("Mobile,N\n1,Zoë €\n".encode("cp1252"))[1] == ["1", "Zoë €"]
    assert read("Mobile,N\n1,Zoë\n".encode("cp1252"), "ISO-8859-1")[1] == ["1", "Zoë"]
    # A late one, after much that was ASCII.
    late = b"Mobile,N\n" + b"1,a\n" * 50_000 + "1,Zoë\n".encode("cp1252")
    assert read(late)[-1] == ["1", "Zoë"]
    for octets, charset in (
        ("Mobile,N\n1,Zoë\n".encode("cp1252"), "utf-8"),
        (b"Mobile,N\n1,a\x81\x8d\xff\n", ""),
        (("Mobile,é\n" + "1,é\n" * 50_000).encode() + b"1,\xe9\n", ""),
        (b"Mobile\n1\n", "klingon"),
        (b"Mobile\n1\n", "base64"),
        (b"Mobile\n1\n", "x" * 5000 + "\0"),
    ):
        assert refusal(octets, charset).code == "IMP-001"


@pytest.mark.parametrize("octets", [b"", b"\n\n", b"\xef\xbb\xbf", b"\r\n"])
def test_a_file_without_anything_is_refused(octets: bytes) -> None:
    error = refusal(octets)
    assert isinstance(error, Invalid)
    assert "empty" in error.message


@pytest.mark.parametrize(
    "start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x1f\x8b\x08", b"%PDF-1.7"]
)
def test_workbooks_and_other_files_are_refused_with_a_hint(start: bytes) -> None:
    error = refusal(start + bytes(range(256)) * 20)
    assert isinstance(error, UnsupportedMedia)
    assert "save it as CSV" in error.message


@pytest.mark.parametrize(
    "octets",
    [
        b'Mobile,N\n1,a\n2,"b\n3,c\n',
        b'Mobile,N\n1,a\n2,"',
        b'Mobile,N\n2,"' + b"x,y\n" * 100_000,
        b"Mobile,N\n" + b"x" * (2 * MAX_RECORD_CHARS),
        b'Mobile,N\n"' + b"x\n" * MAX_RECORD_CHARS,
        b"Mobile,N\n" + b'"' + b'a","\n' * 400_000,
        b'Mobile,"N\n' + b"1,a\n" * 100_000,
    ],
)
def test_a_quote_that_never_ends_and_endless_rows_are_refused(octets: bytes) -> None:
    error = refusal(octets)
    assert error.code == "IMP-001"
    assert "quote" in error.message


@pytest.mark.parametrize(
    "name", ["Mobile", "MOBILE ", "mobile number", "Mobile_Phone", "phone", "Phone-Number", "cell"]
)
def test_a_header_is_matched_whatever_its_case_and_spaces(name: str) -> None:
    columns = read_header(
        [name, "COUNTRY", "First Name", "last_name", "E-mail", "Tags", "Job Title", " plan "]
    )
    assert (columns.mobile, columns.country, columns.first_name) == (0, 1, 2)
    assert (columns.last_name, columns.email, columns.tags) == (3, 4, 5)
    assert columns.attributes == ((6, "Job Title"), (7, "plan"))


def test_a_second_number_is_an_attribute_and_consent_is_ignored_by_name() -> None:
    columns = read_header(["Phone", "Mobile", "blocked", "optIn", "Opt Out", "", "x"])
    assert columns.mobile == 1
    assert columns.attributes == ((0, "Phone"), (6, "x"))
    assert columns.ignored == ("blocked", "optIn", "Opt Out", "(column 6)")


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        (["Name", "E-mail"], "IMP-002", "Name, E-mail"),
        (["x" * 500, ""], "IMP-002", "(nothing)"),
        (["Mobile", "mobile"], "IMP-001", "Columns 1 and 2"),
        (["Mobile", "First Name", "firstname"], "IMP-001", "Columns 2 and 3"),
        (["Mobile", "Plan", "Plan"], "IMP-001", "Columns 2 and 3"),
        (["Mobile", "x" * 101], "IMP-001", "100 characters"),
        (["Mobile", "a\0b"], "IMP-001", "NUL"),
        (["Mobile", *map(str, range(201))], "IMP-001", "201 columns"),
        (["Mobile", *[""] * 1_000], "IMP-001", "1001 columns"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_with_what_was_found(
    header: list[str], code: str, words: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read_header(header)
    assert caught.value.code == code
    assert words in caught.value.message


def reader() -> RowReader:
    return RowReader(
        read_header(["Mobile", "Country", "First Name", "Tags", "Plan", "blocked"]), "US"
    )


def test_a_row_becomes_a_contact_and_an_empty_cell_is_not_given() -> None:
    row = reader().read(1, ["'+13475550101 ", "us", " Ann ", "a | b||a ", "=1+1", "2020"])
    assert isinstance(row, ParsedContact)
    assert (row.mobile, row.first_name, row.tags) == ("+13475550101", "Ann", ("a", "b"))
    assert row.attributes == {"Plan": "=1+1"}
    short = reader().read(2, ["3475550101"])
    assert isinstance(short, ParsedContact)
    assert (short.mobile, short.country) == ("+13475550101", "US")
    assert short.given <= {"attributes"}
    assert not short.attributes


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["12345", "US"], "CONT-001"),
        (["", "US", "Ann"], "CONT-001"),
        (["1.34756E+10", "US"], "CONT-001"),
        (["3475550101", "US", "", "", "", "", "more"], "CONT-003"),
        (["3475550101", "US", "a\0b"], "CONT-003"),
        (["3475550101", "US", "x" * 201], "CONT-003"),
        (["3475550101", "US", "", "x" * 101], "CONT-003"),
        (["3475550101", "US", "", "", "x" * 40_000], "CONT-003"),
    ],
)
def test_a_row_that_cannot_be_stored_says_which_and_why(cells: list[str], code: str) -> None:
    refused = reader().read(7, cells)
    assert isinstance(refused, RefusedRow)
    assert (refused.row, refused.error.code) == (7, code)
    assert len(refused.first_name) <= 64
    assert "\0" not in refused.first_name


def test_empty_cells_beyond_the_header_do_no_harm() -> None:
    row = reader().read(1, ["3475550101", "US", "", "", "", "", "", ""])
    assert isinstance(row, ParsedContact)
