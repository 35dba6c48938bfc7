"""Reads a request that brings one file of a moderate size: as its body, or in a form."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

from anyio import to_thread
from litestar import Request
from multipart import (  # pyright: ignore[reportMissingTypeStubs]
    MultipartError,
    MultipartParser,
    parse_options_header,  # pyright: ignore[reportUnknownVariableType]
)

from viesti.kit.errors import Invalid

_PIECE_OCTETS = 64 * 1024

# The package has no types of its own.
_options_of = cast("Callable[[str], tuple[str, dict[str, str]]]", parse_options_header)
_parser = cast("Callable[..., Any]", MultipartParser)


async def read_file(request: Request[Any, Any, Any]) -> tuple[bytes, str]:
    """The octets of the file and the charset that its content type names; empty: none.

    Raises Invalid (GEN-400) for a form that cannot be read or holds other than one file.
    """
    kind, options = _options_of(request.headers.get("content-type", ""))
    body = await request.body()
    if kind.strip().lower() == "multipart/form-data":
        return await to_thread.run_sync(_file_in, body, options.get("boundary", ""))
    return body, options.get("charset", "")


def _file_in(body: bytes, boundary: str) -> tuple[bytes, str]:
    if not boundary:
        raise Invalid("The form's content type names no boundary.")
    whole = len(body) + _PIECE_OCTETS
    try:
        parts: list[Any] = list(
            _parser(
                io.BytesIO(body),
                boundary,
                content_length=len(body),
                spool_limit=whole,
                memory_limit=whole,
                buffer_size=_PIECE_OCTETS,
            )
        )
    except MultipartError as error:
        raise Invalid(f"The form cannot be read: {error}.") from error
    files = [part for part in parts if part.filename]
    if len(files) != 1:
        raise Invalid("The form must hold one file: one part with a file name.")
    return files[0].raw, _options_of(files[0].content_type or "")[1].get("charset", "")
