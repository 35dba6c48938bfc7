"""Which files may be shared, told by their first octets and never by what a client calls them.

The kinds are those that an MMS may hold (product.md section 5, "MMS"): images, audio, video,
vCards, PDF. What a browser would run, such as HTML and SVG, is not among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileType:
    """``extension`` has its dot; a file that a browser shows without harm is ``inline``."""

    media_type: str
    extension: str
    inline: bool = True


_SIGNATURES: tuple[tuple[re.Pattern[bytes], FileType], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x89PNG\r\n\x1a\n", FileType("image/png", ".png")),
        (rb"\xff\xd8\xff", FileType("image/jpeg", ".jpg")),
        (rb"GIF8[79]a", FileType("image/gif", ".gif")),
        (rb"RIFF.{4}WEBP", FileType("image/webp", ".webp")),
        (rb".{4}ftyp(?:hei[cx]|mif1|avif)", FileType("image/heif", ".heic", inline=False)),
        (rb".{4}ftyp3g", FileType("video/3gpp", ".3gp")),
        (rb".{4}ftypM4[AB]", FileType("audio/mp4", ".m4a")),
        (rb".{4}ftypqt", FileType("video/quicktime", ".mov")),
        (rb".{4}ftyp", FileType("video/mp4", ".mp4")),
        (rb"\x1a\x45\xdf\xa3.{0,60}webm", FileType("video/webm", ".webm")),
        (rb"\x00\x00\x01[\xb3\xba]", FileType("video/mpeg", ".mpg")),
        (rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfb]", FileType("audio/mpeg", ".mp3")),
        (rb"\xff[\xf0\xf1\xf8\xf9]", FileType("audio/aac", ".aac")),
        (rb"RIFF.{4}WAVE", FileType("audio/wav", ".wav")),
        (rb"OggS", FileType("audio/ogg", ".ogg")),
        (rb"#!AMR", FileType("audio/amr", ".amr", inline=False)),
        (rb"%PDF-", FileType("application/pdf", ".pdf")),
        (rb"(?:\xef\xbb\xbf)?BEGIN:VCARD\r?\n", FileType("text/vcard", ".vcf", inline=False)),
        (
            rb"(?:\xef\xbb\xbf)?BEGIN:VCALENDAR\r?\n",
            FileType("text/calendar", ".ics", inline=False),
        ),
    )
)
_BY_MEDIA_TYPE = {kind.media_type: kind for _, kind in _SIGNATURES}
ACCEPTED = "images, audio, video, PDF, vCards and calendar entries"


def find_type(content: bytes) -> FileType | None:
    """What ``content`` is; None for everything that is not shared."""
    return next((kind for begins, kind in _SIGNATURES if begins.match(content)), None)


def type_of(media_type: str) -> FileType:
    """The type that was found when the file was stored."""
    return _BY_MEDIA_TYPE.get(media_type, FileType("application/octet-stream", "", inline=False))
