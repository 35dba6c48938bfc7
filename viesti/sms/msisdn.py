"""Phone numbers: whatever a person writes, to E.164 and the country it belongs to.

Called wherever a number enters: the API, imports, carriers, the command line. phonenumbers is
the reference for what is valid (``is_valid_number``, not the laxer ``is_possible_number``: a
number of a range that nobody was given costs a segment and never arrives). ``number_rules``
answers for most well-formed E.164 without asking it.

Beyond phonenumbers, the fictional North American numbers 555-0100 to 555-0199 are accepted in
every area code, and 555-01x-xxxx: documentation and test systems are written with them. Numbers
of no country (+800, +883, ...) are refused: no price table has a line for them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
import phonenumbers

from viesti.sms.number_rules import WORLD, find_calling_code, find_region

# Longer than any number with its brackets, spaces and extension.
_LONGEST: Final = 64

# E.164 numbers have at most 15 digits; 7 is less than any that phonenumbers takes.
_E164: Final = re.compile(r"\+([1-9][0-9]{6,14})")
# A North American number with or without its 1, as people and their software write it.
_NANP: Final = re.compile(
    r"[ ]*(?:1[-. ]?)?[ ]*\(?([2-9][0-9]{2})\)?[-. ]*([0-9]{3})[-. ]*([0-9]{4})[ ]*"
)
_NANP_WITH_ONE: Final = re.compile(r"1[2-9][0-9]{9}")
_FICTIONAL: Final = re.compile(r"1(?:[2-9][0-9]{2}55501[0-9]{2}|55501[0-9]{5})")
_SEPARATORS: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_CONTROLS: Final = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")

_NANP_CODE: Final = 1
_COUNTRY_ALIASES: Final = {"UK": "GB"}


# A struct rather than a dataclass: ten thousand are made in one call.
class Msisdn(msgspec.Struct, frozen=True, gc=False):
    e164: str  # with plus
    country: str  # ISO 3166-1 alpha-2, upper case


def _find_e164(e164: str) -> Msisdn | None:
    """The fast answer for well-formed ``e164``; None: ask phonenumbers."""
    match = _E164.fullmatch(e164)
    if match is None:
        return None
    digits = match[1]
    calling_code = find_calling_code(digits)
    if calling_code is None:
        return None
    region = find_region(digits, calling_code)
    return Msisdn(e164, region) if region is not None else None


def _find_fictional(digits: str) -> Msisdn | None:
    """A number for documentation, which phonenumbers may refuse for its area code alone."""
    if _FICTIONAL.fullmatch(digits) is None:
        return None
    # Its area code tells the country; area codes that nobody has count as the reference's own
    # samples do.
    region = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{digits}"))
    if region is None:
        neighbour = _find_e164(f"+1{digits[1:4]}2345678")
        region = neighbour.country if neighbour is not None else "US"
    return Msisdn(f"+{digits}", region)


def _ask_phonenumbers(raw: str, country: str | None) -> Msisdn | None:
    try:
        number = phonenumbers.parse(raw, country)
        if not phonenumbers.is_valid_number(number):
            return None
        region = phonenumbers.region_code_for_number(number)
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return None
    if region is None or region == WORLD:
        return None
    return Msisdn(e164, region)


def _is_north_american(country: str) -> bool:
    return phonenumbers.country_code_for_region(country) == _NANP_CODE


@lru_cache(maxsize=16_384)  # inputs of at most _LONGEST characters: some 4 MB when full
def _parse_slowly(raw: str, country: str | None) -> Msisdn | None:
    if _CONTROLS.search(raw):
        return None
    found = _ask_phonenumbers(raw, country)
    if found is not None:
        return found
    bare = _SEPARATORS.sub("", raw)
    if bare.startswith("00"):  # understood everywhere, whatever the country's own prefix
        bare = "+" + bare[2:]
        found = _find_e164(bare) or _ask_phonenumbers(bare, None)
    elif _NANP_WITH_ONE.fullmatch(bare):
        # Clients send 1XXXXXXXXXX without plus; no other reading was valid.
        bare = "+" + bare
        found = _find_e164(bare)
    elif len(bare) == 10 and country and _is_north_american(country):
        bare = "+1" + bare
    return found or _find_fictional(bare.removeprefix("+"))


def parse_msisdn(raw: str, country: str | None = None) -> Msisdn | None:
    """The number that ``raw`` means, or None if it is none. Never raises.

    ``country`` (ISO 3166-1 alpha-2, any case) is where a number without plus or ``00`` belongs:
    the caller passes the contact's, else the account's. A number with a plus keeps its own.
    """
    found = _find_e164(raw)
    if found is not None:
        return found
    if len(raw) > _LONGEST:
        raw = raw.strip()
        if len(raw) > _LONGEST:
            return None
    if country is not None:
        country = country.upper() if len(country) == 2 else None
    if country in _COUNTRY_ALIASES:
        country = _COUNTRY_ALIASES[country]
    if country in ("US", "CA"):
        match = _NANP.fullmatch(raw)
        if match is not None:
            # To phonenumbers these digits are the same whole number, whatever stands between.
            found = _find_e164(f"+1{match[1]}{match[2]}{match[3]}")
            if found is not None:
                return found
    return _parse_slowly(raw, country)
