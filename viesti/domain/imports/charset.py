"""Octets of an uploaded file to text: which encoding it is in, and what is no text at all.

Called by ``sheet``. Octets come and go piece by piece: no file is ever whole in memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain

from viesti.kit.errors import Invalid, UnsupportedMedia

UNREADABLE = "IMP-001"

# So much is looked at to tell the encoding and the kind of file.
HEAD_OCTETS = 64 * 1024

# How files begin that people take for CSV.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"%PDF", "a PDF"),
)
# Names of the IANA registry, as Python's codecs call them; the rest is refused by name. What
# web pages call ISO-8859-1 is windows-1252 (WHATWG Encoding Standard, section 4.2).
_TAKEN = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "cp1252": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-15": "iso8859-15",
}
_FALLBACK = "cp1252"
_MARK = "\ufeff"


def read_text(octets: Iterator[bytes], charset: str = "") -> Iterator[str]:
    """``octets`` as pieces of text, without a byte order mark.

    ``charset`` is what the content type names and decides; without it a byte order mark does,
    else it is UTF-8, else windows-1252. Raises Invalid (IMP-001) for an empty file, an unknown
    charset or octets that do not fit; UnsupportedMedia (GEN-415) for another kind of file.
    """
    named = _codec_of(charset) if charset else None
    head = b""
    for piece in octets:
        head += piece
        if len(head) >= HEAD_OCTETS:
            break
    if not head:
        raise Invalid("The file is empty.", UNREADABLE)
    for signature, kind in _FOREIGN:
        if head.startswith(signature):
            raise UnsupportedMedia(f"The file is {kind}; save it as CSV and upload that.")
    codec = named or _guess(head)
    pieces = _decode(chain([head], octets), codec, may_fall_back=named is None)
    first = next(pieces, "").removeprefix(_MARK)
    return chain([first], pieces)


def _codec_of(charset: str) -> str:
    try:
        found = _TAKEN.get(codecs.lookup(charset).name)
    except (LookupError, ValueError):
        found = None
    if found is None:
        raise Invalid(
            f"The charset {charset[:40]} is not read here; save the file as UTF-8.", UNREADABLE
        )
    return found


def _guess(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # The first sign of a header is ASCII; UTF-16 puts a zero beside it.
    if len(head) > 1 and head[0] != 0 and head[1] == 0:
        return "utf-16-le"
    if len(head) > 1 and head[0] == 0 and head[1] != 0:
        return "utf-16-be"
    return "utf-8"


def _decode(octets: Iterator[bytes], codec: str, *, may_fall_back: bool) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)()
    may_fall_back &= codec == "utf-8"
    position = 0
    is_last = False
    while not is_last:
        piece = next(octets, b"")
        is_last = not piece
        try:
            text = decoder.decode(piece, is_last)
        except UnicodeDecodeError as error:
            if not may_fall_back:
                raise _unreadable(codec, position) from error
            # All before was ASCII, which is the same in both.
            waiting = decoder.getstate()[0]
            codec, may_fall_back = _FALLBACK, False
            decoder = codecs.getincrementaldecoder(codec)()
            try:
                text = decoder.decode(waiting + piece, is_last)
            except UnicodeDecodeError as again:
                raise _unreadable("utf-8 or windows-1252", position) from again
        may_fall_back &= text.isascii()
        position += len(piece)
        if text:
            yield text


def _unreadable(codec: str, position: int) -> Invalid:
    name = "windows-1252" if codec == _FALLBACK else codec
    return Invalid(
        f"The file is not valid {name} after octet {position}; save it as UTF-8,"
        " or name its charset in the content type.",
        UNREADABLE,
    )
