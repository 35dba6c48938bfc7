"""``POST /contacts`` with a file: CSV as the body, or a form with a file in it. Read as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal
from uuid import UUID

import psycopg
from anyio import fail_after, from_thread, to_thread
from litestar import Request, Response
from multipart import (  # pyright: ignore[reportMissingTypeStubs]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)

from viesti.api.auth import caller_of
from viesti.api.respond import ok
from viesti.api.services import services_of
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.contacts.tags import find_hidden_tags
from viesti.domain.imports.apply import Imported
from viesti.domain.imports.intake import Limits, Upload
from viesti.domain.imports.models import Import
from viesti.domain.imports.views import accepted_view, imported_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.errors import Invalid, TooLarge, UnsupportedMedia

# Pieces from the network are put together to this before they are read.
PIECE_OCTETS = 256 * 1024
# A client that takes longer for one of them has gone, or is so slow that it keeps others waiting.
PIECE_S = 60
MAX_PARTS = 20
MAX_FIELD_OCTETS = 1024
# Of a form, beside its file.
FORM_OCTETS = 1024 * 1024

Kind = Literal["csv", "form"]

_CSV = ("text/csv", "application/csv", "text/tab-separated-values")
_FORM = "multipart/form-data"
_SPREADSHEET = ("application/vnd.", "application/zip")


def kind_of_upload(request: Request[Any, Any, Any]) -> Kind | None:
    """Which kind of file the request brings; None: none. Refuses spreadsheets (GEN-415)."""
    kind = request.content_type[0]
    if kind.startswith(_SPREADSHEET) and not kind.endswith("+json"):
        raise UnsupportedMedia("The file is no CSV; save it as CSV and upload that as text/csv.")
    return "csv" if kind in _CSV else "form" if kind == _FORM else None


def parse_strategy(word: str) -> MergeStrategy:
    """The strategy that a client names, ``append`` by default. Raises Invalid (GEN-400)."""
    word = word.strip().lower()
    try:
        return MergeStrategy(word) if word else MergeStrategy.APPEND
    except ValueError as error:
        raise Invalid("mergeStrategy is one of append, core, remove.") from error


async def take_upload(
    request: Request[Any, Any, Any], kind: Kind, strategy: MergeStrategy
) -> Response[bytes]:
    """The answer to a request that brings a file."""
    account = caller_of(request).account_id
    services = services_of(request)
    settings = services.settings
    limits = Limits(settings.import_max_mib * 2**20, settings.import_max_rows)
    upload = Upload(services.database.run_here, account, limits, strategy)
    options = request.content_type[1]
    body = request.stream()

    async def read() -> bytes:
        pieces: list[bytes] = []
        octets = 0
        with fail_after(PIECE_S):
            while octets < PIECE_OCTETS:
                piece = await anext(body, b"")
                if not piece:
                    break
                pieces.append(piece)
                octets += len(piece)
        return b"".join(pieces)

    def pieces() -> Iterator[bytes]:
        # The file's own bound is the upload's; this one is for what stands around it.
        left = limits.max_octets + FORM_OCTETS
        try:
            while piece := from_thread.run(read):
                left -= len(piece)
                if left < 0:
                    raise TooLarge(f"A file may have at most {settings.import_max_mib} MiB.")
                yield piece
        except TimeoutError as error:
            raise Invalid(
                f"The upload is too slow: {PIECE_OCTETS // 1024} KiB took over {PIECE_S} seconds."
            ) from error

    def work() -> Imported | Import:
        if kind == "form":
            form = _Form(options.get("boundary", ""), upload)
            octets = form.read(pieces())
            first = next(octets, b"")  # behind the headers, which name the charset
            return upload.take(chain([first], octets), form.charset)
        return upload.take(pieces(), options.get("charset", ""))

    try:
        done = await services.database.take_file(account, work)
    finally:
        await body.aclose()
    if isinstance(done, Import):
        return ok(accepted_view(done), status=201)
    if done.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    hidden = await services.database.run(lambda conn: _hidden(conn, account, done), bulk=True)
    return ok(await to_thread.run_sync(imported_view, done, hidden), status=201)


def _hidden(conn: psycopg.Connection, account_id: UUID, done: Imported) -> set[str]:
    return find_hidden_tags(conn, account_id, done.contacts)


class _Form:
    """A form with one file; its field ``mergeStrategy``, before or after the file, counts."""

    def __init__(self, boundary: str, upload: Upload) -> None:
        if not boundary:
            raise Invalid("The form's content type names no boundary.")
        self.charset = ""
        self._boundary = boundary
        self._upload = upload
        self._has_file = False

    def read(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The octets of the file. Raises Invalid (GEN-400) for what is no such form."""
        try:
            with PushMultipartParser(self._boundary, max_segment_count=MAX_PARTS) as parser:
                yield from self._read(parser, pieces)
        except ParserLimitReached as error:
            raise TooLarge("The form has more parts or longer headers than it may.") from error
        except MultipartError as error:
            raise Invalid(f"The form cannot be read: {error}.") from error
        if not self._has_file:
            raise Invalid("The form holds no file: one part must have a file name.")

    def _read(self, parser: PushMultipartParser, pieces: Iterator[bytes]) -> Iterator[bytes]:
        is_file = False
        field: bytearray | None = None  # mergeStrategy, while it is read
        for piece in pieces:
            for event in parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    is_file = _is_file(event)
                    named = (event.name or "").lower()
                    field = bytearray() if named == "mergestrategy" and not is_file else None
                    if is_file:
                        self._open(event)
                elif event is None:
                    if field is not None:
                        word = field.decode("utf-8", "replace")
                        self._upload.strategy = parse_strategy(word)
                elif is_file:
                    yield bytes(event)
                elif field is not None:
                    field += event[: MAX_FIELD_OCTETS - len(field)]

    def _open(self, part: MultipartSegment) -> None:
        if self._has_file:
            raise Invalid("The form holds two files; upload them one by one.")
        self._has_file = True
        self.charset = part.charset or ""


def _is_file(part: MultipartSegment) -> bool:
    return bool(part.filename) or (part.content_type or "").partition(";")[0].lower() in _CSV
