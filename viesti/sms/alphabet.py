"""The two alphabets of a text message: GSM 7-bit default (with its extension table) and UCS-2.

``segments`` encodes with it, ``reassembly`` decodes with it, the hub's counter asks it which
characters force UCS-2. Septets are kept one per octet, as SMPP 3.4 carries them.

Source: 3GPP TS 23.038, section 6.2.1 (default alphabet) and 6.2.1.1 (extension table).
"""

from __future__ import annotations

import codecs
import re
from typing import Final, cast

ESCAPE: Final = 0x1B
REPLACEMENT: Final = "\ufffd"

_PAIR: Final = chr(ESCAPE)
_UNUSED: Final = "\ufffe"  # what the codecs module takes for "no character at this code"

# Codes 0x00-0x7F in order; 0x1B is the escape to the extension table.
_DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ" + _UNUSED + "ÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

_EXTENSION: Final[dict[int, str]] = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

# The fast table of ``codecs`` demands NUL at code 0, so "@" (GSM code 0) is encoded as 0x80
# and moved home afterwards; a text that holds NUL itself is caught before.
_AT_AWAY: Final = 0x80
_FAST_CHARS: Final = "\0" + _DEFAULT[1:] + "@"
_FAST_MAP: Final = codecs.charmap_build(_FAST_CHARS)
_FAST_MAP_WITH_ESCAPE: Final = codecs.charmap_build(_FAST_CHARS.replace(_UNUSED, _PAIR))
_AT_HOME: Final = bytes(0 if code == _AT_AWAY else code for code in range(256))

_CHARS: Final = _DEFAULT.replace(_UNUSED, _PAIR) + REPLACEMENT * 128
_PAIRS: Final = {char: _PAIR + _CHARS[code] for code, char in _EXTENSION.items()}
# A cast, since ``codecs`` takes a string as a map and its stubs do not say so.
_DECODE: Final = cast("dict[int, int]", _CHARS)

_FORCES_UCS2: Final = re.compile(
    "[^" + re.escape(_DEFAULT.replace(_UNUSED, "") + "".join(_PAIRS)) + "]"
)
_ESCAPED: Final = re.compile("\x1b(.?)", re.DOTALL)


def _plain_of(code: int) -> str:
    """What a code of the extension table shows as.

    A code with no extension character shows the default table's character (section 6.2.1.1);
    a second escape, or none, a space.
    """
    if code in _EXTENSION:
        return _EXTENSION[code]
    return " " if code == ESCAPE else _CHARS[code]


# By the default table's character, since escapes are resolved after that table is applied.
_AFTER_ESCAPE: Final[dict[str, str]] = {
    "": " ",
    **{_CHARS[code]: _plain_of(code) for code in range(128)},
}


def is_gsm(text: str) -> bool:
    """Whether every character of ``text`` is in the default alphabet or its extension."""
    return _FORCES_UCS2.search(text) is None


def find_ucs2_characters(text: str) -> list[tuple[int, str]]:
    """Each character that forces UCS-2, with its position in ``text`` (in code points)."""
    return [(match.start(), match.group()) for match in _FORCES_UCS2.finditer(text)]


def find_gsm(text: str) -> bytes | None:
    """``text`` as septets, one per octet, extension characters as escape pairs.

    None if a character of it is not in the alphabet.
    """
    # The common case, no extension character, is one table look-up per character in C.
    try:
        octets = codecs.charmap_encode(text, "strict", _FAST_MAP)[0]
    except UnicodeEncodeError as error:
        if text[error.start] not in _PAIRS or _PAIR in text:
            return None
        for char, pair in _PAIRS.items():
            if char in text:
                text = text.replace(char, pair)
        try:
            octets = codecs.charmap_encode(text, "strict", _FAST_MAP_WITH_ESCAPE)[0]
        except UnicodeEncodeError:
            return None
    if "\0" in text:
        return None
    return octets.translate(_AT_HOME) if "@" in text else octets


def encode_gsm(text: str) -> bytes:
    """``text`` as septets, one per octet, extension characters as escape pairs.

    Raises ValueError if a character is not in the alphabet: ask ``is_gsm`` first.
    """
    septets = find_gsm(text)
    if septets is None:
        position, char = find_ucs2_characters(text)[0]
        raise ValueError(f"character U+{ord(char):04X} at {position} is not in GSM 03.38")
    return septets


def decode_gsm(septets: bytes) -> str:
    """The text of ``septets`` (one per octet). Never raises.

    Octets beyond 0x7F give U+FFFD. An escape before a code without an extension character
    gives the default table's character, as section 6.2.1.1 demands of a receiver.
    """
    text = codecs.charmap_decode(septets, "replace", _DECODE)[0]
    if _PAIR not in text:
        return text
    return _ESCAPED.sub(lambda match: _AFTER_ESCAPE.get(match[1], match[1]), text)


def encode_ucs2(text: str) -> bytes:
    """``text`` as UTF-16, big-endian, without a byte order mark.

    Half surrogates that have no partner become U+FFFD, since no handset could show them.
    """
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError:
        whole = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
        return whole.encode("utf-16-be")


def decode_ucs2(octets: bytes) -> str:
    """The text of UTF-16BE ``octets``. Never raises.

    Half surrogates and an odd last octet give U+FFFD; a leading byte order mark is dropped.
    """
    return octets.removeprefix(codecs.BOM_UTF16_BE).decode("utf-16-be", "replace")
