"""Reads a request's JSON body into a typed model; anything else is refused with a reason."""

from __future__ import annotations

import codecs
import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from viesti.kit.errors import Invalid, UnsupportedMedia

T = TypeVar("T")

# An escaped NUL (an odd number of backslashes before u0000): PostgreSQL cannot store one.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# A call of 10,000 recipients with names and attributes fits.
MAX_BULK_OCTETS = 32 * 1024 * 1024
MAX_OCTETS = 1024 * 1024
# A larger body is decoded off the event loop.
BULK_OCTETS = 64 * 1024

_BLANK = b" \t\r\n"


def require_json(request: Request[Any, Any, Any]) -> None:
    """Raises UnsupportedMedia (GEN-415) for a body that says it is not JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        raise UnsupportedMedia("The body must be JSON: send Content-Type: application/json.")


def without_mark(body: bytes) -> bytes:
    """``body`` without the byte order mark that some clients begin it with."""
    return body.removeprefix(codecs.BOM_UTF8)


def is_blank(body: bytes) -> bool:
    return not without_mark(body).strip(_BLANK)


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """``body`` as the decoder's model. Raises Invalid (GEN-400) and says what is wrong where."""
    if is_blank(body):
        raise Invalid("The request has no body.")
    if _ESCAPED_NUL.search(body):
        raise Invalid("The body holds a NUL character, which cannot be stored.")
    try:
        return decoder.decode(without_mark(body))
    except msgspec.ValidationError as error:
        raise Invalid(f"The body does not fit: {error}.") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    except UnicodeDecodeError as error:
        raise Invalid("The body is not valid UTF-8.") from error
    except RecursionError as error:
        raise Invalid("The body is nested too deeply.") from error
