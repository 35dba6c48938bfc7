"""How each kind of setting is read from what a person wrote; ``config`` uses it.

Every function raises ValueError with the end of a sentence that begins with the setting's name.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

E = TypeVar("E", bound=enum.Enum)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def read_text(raw: str) -> str:
    return raw


def read_path(raw: str) -> Path:
    if not raw:
        raise ValueError("must be a path")
    return Path(raw).expanduser()


def read_optional_path(raw: str) -> Path | None:
    return read_path(raw) if raw else None


def read_flag(raw: str) -> bool:
    word = raw.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be on or off (1 or 0, true or false)")


def read_optional_flag(raw: str) -> bool | None:
    return None if raw.strip() in ("", "auto") else read_flag(raw)


def read_optional_whole(low: int, high: int) -> Callable[[str], int | None]:
    read = read_whole(low, high)
    return lambda raw: None if raw.strip() in ("", "auto") else read(raw)


def read_whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            number = int(raw.strip())
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return parse


def read_seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            number = float(raw.strip())
        except ValueError:
            number = low - 1
        if not low <= number <= high:  # also refuses nan
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return number

    return parse


def read_factor(raw: str) -> float:
    try:
        number = float(raw.strip())
    except ValueError:
        number = 0.0
    if not 1e-6 <= number <= 1000:  # also refuses nan
        raise ValueError("must be a number above 0, at most 1000")
    return number


def read_host(raw: str) -> str:
    host = raw.strip()
    if ":" in host or not host.strip("0123456789."):
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(host.strip("[]")))
    elif _HOST_NAME.fullmatch(host):
        return host
    raise ValueError("must be an address or a host name, such as 127.0.0.1")


def read_postgres_url(raw: str) -> str:
    if raw and urlsplit(raw).scheme not in ("postgresql", "postgres"):
        raise ValueError("must look like postgresql://user:password@host:5432/name")
    return raw


def read_web_url(raw: str) -> str:
    parts = urlsplit(raw)
    if raw and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must look like https://texts.example.org")
    return raw.rstrip("/")


def read_objects_url(raw: str) -> str:
    """The URL of an object store, or nothing."""
    text = raw.strip()
    if text and not text.startswith(("file:///", "s3://", "gs://", "az://")):
        raise ValueError("must begin with file:///, s3://, gs:// or az://")
    return text


def read_networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "must be addresses or networks divided by commas, such as 10.0.0.0/8"
        ) from None


def read_origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in raw.split(",") if part.strip())
    if any(origin != "*" and not _is_origin(origin) for origin in origins):
        raise ValueError("must be origins divided by commas, such as https://app.example.org")
    return origins


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and text == f"{parts.scheme}://{parts.netloc}"


def read_choice(kind: type[E]) -> Callable[[str], E]:
    def parse(raw: str) -> E:
        try:
            return kind(raw.strip().lower())
        except ValueError:
            words = ", ".join(str(member.value) for member in kind)
            raise ValueError(f"must be one of {words}") from None

    return parse


def read_smpp_password(raw: str) -> str:
    # SMPP 3.4 section 4.1.1: password is at most 9 octets with its NUL.
    if len(raw) > 8 or not raw.isascii():
        raise ValueError("must be at most 8 ASCII characters")
    return raw
