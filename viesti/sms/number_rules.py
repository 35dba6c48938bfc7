"""What phonenumbers' metadata says about well-formed E.164, as one regular expression per code.

Only ``msisdn`` calls this. phonenumbers takes some 25 microseconds to parse and validate a
number; the same patterns, tried in the same order in one expression, take one. A number that
is found here is valid to phonenumbers and in the same region, by construction: the conditions
are those of its ``region_code_for_number`` and ``is_valid_number``, and a number it would
rewrite (a national prefix kept behind the country code) is left to it. The tests compare the
two over a large generated set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Protocol, cast

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

WORLD: Final = "001"  # phonenumbers' region of numbers that belong to no country


class _Desc(Protocol):
    """The parts of phonenumbers' untyped PhoneNumberDesc that are read here."""

    national_number_pattern: str | None
    possible_length: tuple[int, ...]


# In no order that matters: any one of them makes a number valid.
_TYPES: Final = (
    "mobile",
    "fixed_line",
    "toll_free",
    "voip",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)

_CALLING_CODES: Final[dict[str, int]] = {str(code): code for code in COUNTRY_CODE_TO_REGION_CODE}

# Metadata patterns group with (?:...) only; a plain group would upset ``lastgroup``.
_PLAIN_GROUP: Final = re.compile(r"\((?!\?)")


def find_calling_code(digits: str) -> int | None:
    """The calling code that ``digits`` (E.164 without plus) begin with, or None.

    Calling codes are prefix-free, so the first that fits is the only one (ITU-T E.164).
    """
    codes = _CALLING_CODES
    return codes.get(digits[:1]) or codes.get(digits[:2]) or codes.get(digits[:3])


def _desc(metadata: PhoneMetadata, name: str) -> _Desc | None:
    return cast("_Desc | None", getattr(metadata, name))


def _alternative(desc: _Desc | None) -> str | None:
    """``desc`` as an expression for a whole number, or None if nothing can match it."""
    if desc is None or not desc.national_number_pattern:
        return None
    pattern = _PLAIN_GROUP.sub("(?:", desc.national_number_pattern)
    lengths = "|".join(rf"\d{{{length}}}\Z" for length in desc.possible_length if length > 0)
    if not desc.possible_length:
        return rf"(?:{pattern})\Z"
    if not lengths:  # possible_length (-1,) says that this type does not exist here
        return None
    return rf"(?={lengths})(?:{pattern})\Z"


def _valid(metadata: PhoneMetadata) -> str | None:
    """The expression of ``_number_type_helper(...) != UNKNOWN`` for one region."""
    general = _alternative(_desc(metadata, "general_desc"))
    kinds = [pattern for name in _TYPES if (pattern := _alternative(_desc(metadata, name)))]
    if general is None or not kinds:
        return None
    return f"(?={general})(?:{'|'.join(dict.fromkeys(kinds))})"


def _branches(regions: tuple[str, ...]) -> Iterator[str]:
    """One branch per region, in phonenumbers' order of trying them."""
    earlier: list[str] = []
    for region in regions:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None:
            continue
        valid = _valid(metadata)
        leading = metadata.leading_digits if len(regions) > 1 else None
        guard = f"(?!{'|'.join(earlier)})" if earlier else ""
        if leading is not None:
            # Leading digits decide the region at once, whether or not the number is valid there.
            leading = _PLAIN_GROUP.sub("(?:", leading)
            earlier.append(leading)
            guard += f"(?={leading})"
        if valid is not None:
            yield f"(?P<{region}>{guard}{valid})"


@cache  # one per calling code: some 210 at most
def _rules(calling_code: int) -> tuple[re.Pattern[str], int] | None:
    """The expression, and where in the digits it begins."""
    regions = COUNTRY_CODE_TO_REGION_CODE[calling_code]
    if WORLD in regions:
        return None
    main = PhoneMetadata.metadata_for_region(regions[0], None)
    branches = list(_branches(regions))
    if main is None or not branches:
        return None
    prefix = main.national_prefix_for_parsing
    kept = f"(?!{_PLAIN_GROUP.sub('(?:', prefix)})" if prefix else ""
    return re.compile(f"{kept}(?:{'|'.join(branches)})"), len(str(calling_code))


def find_region(digits: str, calling_code: int) -> str | None:
    """The ISO 3166 region of the valid number ``digits`` (E.164 without plus), or None.

    None means "not known here": ask phonenumbers.
    """
    rules = _rules(calling_code)
    if rules is None:
        return None
    pattern, start = rules
    match = pattern.match(digits, start)
    return match.lastgroup if match is not None else None
