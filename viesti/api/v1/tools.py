"""``/v1/tools/sharefile``: a file becomes a short link. No account stands in the path."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any, cast

import obstore
from anyio import to_thread
from litestar import Request, Response, post
from multipart import (  # pyright: ignore[reportMissingTypeStubs]
    MultipartError,
    MultipartParser,
    MultipartPart,
)
from obstore.exceptions import BaseError
from structlog import get_logger

from viesti.api.auth import caller_of
from viesti.api.body import read_body
from viesti.api.respond import ok
from viesti.api.services import services_of
from viesti.domain.files.service import begin_file, finish_file
from viesti.domain.files.types import ACCEPTED, find_type
from viesti.kit.clock import iso, utc_now
from viesti.kit.errors import Invalid, TooLarge, Unavailable, UnsupportedMedia

log = get_logger()

MEBI = 1024 * 1024
# Of a form, beside its file.
_FORM_OCTETS = 64 * 1024
_MULTIPART = "multipart/form-data"
_FIELD = "media"


@post("/v1/tools/sharefile", status_code=200, request_max_body_size=None)
async def share_file(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    services = services_of(request)
    settings = services.settings
    largest = settings.file_max_mb * MEBI
    name, content = await _read_file(request, largest)
    if not content:
        raise Invalid("The request holds no file.", "FILE-005")
    if len(content) > largest:
        raise TooLarge(f"A file may have at most {settings.file_max_mb} MB.", "FILE-003")
    kind = find_type(content)
    if kind is None:
        raise UnsupportedMedia(f"What may be shared: {ACCEPTED}.", "FILE-002")
    file = await services.database.run(
        lambda conn: begin_file(
            conn,
            account,
            name=name,
            media_type=kind.media_type,
            octets=len(content),
            lifetime=timedelta(days=settings.file_days),
            now=utc_now(),
        )
    )
    try:
        await obstore.put_async(services.objects, file.key, content)
    except (BaseError, OSError) as error:
        log.warning("file_not_stored", error=type(error).__name__)
        raise Unavailable("The file could not be stored now; retry in a moment.") from error
    await services.database.run(lambda conn: finish_file(conn, file, utc_now()))
    return ok({"link": f"{settings.base_url}/f/{file.token}", "expires": iso(file.expires_at)})


async def _read_file(request: Request[Any, Any, Any], largest: int) -> tuple[str, bytes]:
    """The name that the client gave, or none, and the octets."""
    kind, options = request.content_type
    try:
        body = await read_body(request, largest + _FORM_OCTETS)
    except TooLarge as error:
        raise TooLarge(f"A file may have at most {largest // MEBI} MB.", "FILE-003") from error
    if kind != _MULTIPART:
        # Any single type is read as the file itself: what it is, its octets tell.
        return "", body
    return await to_thread.run_sync(_read_form, body, options.get("boundary", ""))


def _read_form(body: bytes, boundary: str) -> tuple[str, bytes]:
    try:
        parser = MultipartParser(io.BytesIO(body), boundary, memory_limit=len(body) + 1)
        parts = cast("list[MultipartPart]", list(parser))  # pyright: ignore[reportUnknownArgumentType]
    except (MultipartError, ValueError) as error:
        raise Invalid("The form cannot be read.") from error
    files = [part for part in parts if part.filename is not None]
    chosen = next((part for part in parts if part.name == _FIELD), files[0] if files else None)
    if chosen is None:
        raise Invalid("The form holds no file: send it as the part named media.", "FILE-005")
    return chosen.filename or "", chosen.raw


ROUTES = [share_file]
