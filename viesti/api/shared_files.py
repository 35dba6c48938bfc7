"""``/f/{token}``: a shared file, for whoever has its link. Nothing in it may run in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import obstore
from litestar import HttpMethod, Request, Response, route
from litestar.params import FromPath
from litestar.response import Stream
from obstore.exceptions import BaseError
from structlog import get_logger

from viesti.api.services import services_of
from viesti.domain.files.service import FileNotFound, SharedFile, get_shared_file
from viesti.domain.files.types import type_of
from viesti.kit.clock import utc_now
from viesti.kit.errors import Unavailable

log = get_logger()

PIECE_OCTETS = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})", re.ASCII)
_PARTIAL = 206
_UNSATISFIABLE = 416


# Phones and previews of links ask with HEAD before they load a file.
@route("/f/{token:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def fetch(request: Request[Any, Any, Any], token: FromPath[str]) -> Response[Any]:
    """The file or, by a Range header (RFC 9110 section 14), the part that a player asks for."""
    services = services_of(request)
    if "\x00" in token:
        raise FileNotFound("There is no such file.", "FILE-001")
    file = await services.database.run(lambda conn: get_shared_file(conn, token, utc_now()))
    headers = _headers(file)
    start, end = 0, file.octets
    status = 200
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked and asked.group() != "bytes=-":
        start, end = _span(asked.group(1), asked.group(2), file.octets)
        if start >= end:
            headers["Content-Range"] = f"bytes */{file.octets}"
            return Response(b"", status_code=_UNSATISFIABLE, headers=headers)
        status = _PARTIAL
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.octets}"
    headers["Content-Length"] = str(end - start)
    try:
        first = await _read(services.objects, file.key, start, min(end, start + PIECE_OCTETS))
    except FileNotFoundError as error:
        raise FileNotFound("There is no such file.", "FILE-001") from error
    except (BaseError, OSError) as error:
        log.warning("file_not_read", error=type(error).__name__)
        raise Unavailable("The file cannot be read now; retry in a moment.") from error

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        at = start + len(first)
        while at < end:
            piece = await _read(services.objects, file.key, at, min(end, at + PIECE_OCTETS))
            yield piece
            at += len(piece)

    return Stream(pieces(), status_code=status, headers=headers, media_type=file.media_type)


async def _read(objects: Any, key: str, start: int, end: int) -> bytes:
    return bytes(await obstore.get_range_async(objects, key, start=start, end=end))


def _span(first: str, last: str, octets: int) -> tuple[int, int]:
    """From and up to where; the last ``n`` octets are asked for as ``-n``."""
    if not first:
        return max(0, octets - int(last)), octets
    return int(first), min(octets, int(last) + 1 if last else octets)


def _headers(file: SharedFile) -> dict[str, str]:
    kind = type_of(file.media_type)
    stem = re.sub(r"[^\w.-]+", "_", file.name.rpartition("/")[2].rpartition(".")[0]).strip("._")
    name = (stem or "file") + kind.extension
    how = "inline" if kind.inline else "attachment"
    age_s = max(0, int((file.expires_at - utc_now()).total_seconds()))
    return {
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name)}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Referrer-Policy": "no-referrer",
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={min(age_s, 3600)}",
    }


ROUTES = [fetch]
