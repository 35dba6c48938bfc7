"""The value helpers of templates: default, upper, lower, capitalize, date; and text of values.

Only ``engine`` uses them. Each takes its arguments as the template gives them, returns text or
a value, and never raises on odd data: a template must not fail for one contact of a thousand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

# No text may render longer than this; what a helper or a list is given beyond it is cut.
# Above ten segments (1,530 characters), so that MSG-007 stays the answer for a long text.
MAX_OUTPUT_CHARACTERS: Final = 4_000

_LONGEST_INTEGER_BITS: Final = 1_024
_LIST_DEPTH: Final = 3  # lists inside lists are shown this deep


class Mobile(dict[str, Any]):
    """A contact's mobile: ``number`` and ``country``, and as a text its number."""


def text_of(value: object, depth: int = 0) -> str:
    """``value`` as it stands in a text: nothing for None, ``true``/``false``, lists by commas.

    Whole floats lose their ``.0``; a mobile is its number, any other mapping has no text. Of a
    long list no more is read than a text may hold.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to print a number of thousands of digits; nobody texts one either.
        return str(value) if value.bit_length() <= _LONGEST_INTEGER_BITS else ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mobile):
        number = value.get("number")
        return number if isinstance(number, str) else ""
    if isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple):
        return _join(cast("list[object]", value), depth)
    return str(value)


def _join(items: list[object], depth: int) -> str:
    if depth >= _LIST_DEPTH:
        return ""
    texts: list[str] = []
    length = 0
    for item in items:
        texts.append(text_of(item, depth + 1))
        length += len(texts[-1]) + 1
        if length > MAX_OUTPUT_CHARACTERS + 1:
            break
    return ",".join(texts)


def _short(value: object) -> str:
    return text_of(value)[: MAX_OUTPUT_CHARACTERS + 1]


def _default(args: list[Any], _named: Mapping[str, Any]) -> object:
    """The first argument, or the second if that is missing or empty."""
    value = args[0]
    return args[1] if value is None or value in ("", []) else value


def _upper(args: list[Any], _named: Mapping[str, Any]) -> object:
    return _short(args[0]).upper()


def _lower(args: list[Any], _named: Mapping[str, Any]) -> object:
    return _short(args[0]).lower()


def _capitalize(args: list[Any], _named: Mapping[str, Any]) -> object:
    """The first letter upper case, the rest as it is: ``o'Brien`` keeps its B."""
    text = _short(args[0])
    return text[:1].upper() + text[1:]


_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOKEN: Final = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|dddd|ddd|DD|D|HH|H|hh|h|mm|ss|A|a")
_TOKENS: Final[dict[str, Callable[[datetime], str]]] = {
    "YYYY": lambda at: f"{at.year:04d}",
    "YY": lambda at: f"{at.year % 100:02d}",
    "MMMM": lambda at: _MONTHS[at.month - 1],
    "MMM": lambda at: _MONTHS[at.month - 1][:3],
    "MM": lambda at: f"{at.month:02d}",
    "M": lambda at: str(at.month),
    "dddd": lambda at: _DAYS[at.weekday()],
    "ddd": lambda at: _DAYS[at.weekday()][:3],
    "DD": lambda at: f"{at.day:02d}",
    "D": lambda at: str(at.day),
    "HH": lambda at: f"{at.hour:02d}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{(at.hour - 1) % 12 + 1:02d}",
    "h": lambda at: str((at.hour - 1) % 12 + 1),
    "mm": lambda at: f"{at.minute:02d}",
    "ss": lambda at: f"{at.second:02d}",
    "A": lambda at: "AM" if at.hour < 12 else "PM",
    "a": lambda at: "am" if at.hour < 12 else "pm",
}
_DEFAULT_FORMAT: Final = "YYYY-MM-DD"
_LONGEST_FORMAT: Final = 100
_LONGEST_MOMENT: Final = 40


def _find_moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    text = text_of(value).strip()
    if not text or len(text) > _LONGEST_MOMENT:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _date(args: list[Any], named: Mapping[str, Any]) -> object:
    """An ISO 8601 date or time in the given format; text that is neither stays as it is.

    ``{{date renewal "D MMMM YYYY" zone="Europe/London"}}``. An unknown zone changes nothing.
    """
    moment = _find_moment(args[0])
    if moment is None:
        return _short(args[0])
    zone = text_of(named.get("zone"))
    if zone and moment.tzinfo is not None:
        # ZoneInfoNotFoundError is a KeyError; a name such as "Europe" is a folder.
        with suppress(KeyError, ValueError, OSError, OverflowError):
            moment = moment.astimezone(ZoneInfo(zone))
    layout = text_of(args[1])[:_LONGEST_FORMAT] if len(args) > 1 else _DEFAULT_FORMAT
    at = moment
    return _TOKEN.sub(
        lambda match: match[1] if match[1] is not None else _TOKENS[match[0]](at), layout
    )


@dataclass(frozen=True, slots=True)
class Helper:
    call: Callable[[list[Any], Mapping[str, Any]], object]
    least: int  # positional arguments
    most: int
    named: frozenset[str] = frozenset()


HELPERS: Final[Mapping[str, Helper]] = {
    "default": Helper(_default, 2, 2),
    "upper": Helper(_upper, 1, 1),
    "lower": Helper(_lower, 1, 1),
    "capitalize": Helper(_capitalize, 1, 1),
    "date": Helper(_date, 1, 2, frozenset({"zone"})),
}
