"""The one family of errors that every room raises and that only the fronts translate.

    ViestiError
    |-- Invalid            the request cannot be carried out as written
    |-- Unauthenticated    nobody, or a wrong secret
    |-- Forbidden          somebody, but not allowed
    |-- NotFound           absent, or another account's: the two look the same
    |-- Conflict           the present state forbids it
    |-- TooLarge           more than one call may carry
    |-- UnsupportedMedia   a body of a kind that is not read here
    |-- RateLimited        too often; ``retry_after_s`` says when to come back
    `-- Unavailable        a part that is needed does not answer now

Codes are stable (``api/errors.py`` holds the catalogue with HTTP statuses); messages say
what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ViestiError(Exception):
    """An expected refusal with a stable ``code`` and a sentence for a person."""

    default_code = "GEN-500"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.details: Mapping[str, Any] = details or {}


class Invalid(ViestiError):
    default_code = "GEN-400"


class Unauthenticated(ViestiError):
    default_code = "GEN-401"


class Forbidden(ViestiError):
    default_code = "GEN-403"


class NotFound(ViestiError):
    default_code = "GEN-404"


class Conflict(ViestiError):
    default_code = "GEN-409"


class TooLarge(ViestiError):
    default_code = "GEN-413"


class UnsupportedMedia(ViestiError):
    default_code = "GEN-415"


class RateLimited(ViestiError):
    default_code = "GEN-429"

    def __init__(
        self, message: str, code: str | None = None, *, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, code)
        self.retry_after_s = retry_after_s


class Unavailable(ViestiError):
    default_code = "GEN-503"
