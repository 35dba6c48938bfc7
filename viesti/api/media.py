"""Refuses media whose URL leads into the network that the platform stands in.

The platform passes media on as links and fetches none of them, but a carrier, a handset's
preview or a later version might. The links of shared files pass, wherever this API is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from yarl import URL

from viesti.kit.config import Settings
from viesti.kit.safe_http import UnsafeUrl, check_url


class HasUrl(Protocol):
    @property
    def url(self) -> str | None: ...


def check_media(media: Iterable[HasUrl | str], settings: Settings) -> None:
    """Raises UnsafeUrl (GEN-400). What is no URL at all is left to who reads the media."""
    ours = f"{settings.base_url}/f/"
    for item in media:
        url = (item if isinstance(item, str) else item.url or "").strip()
        if url and not url.startswith(ours):
            _check_host(url, settings.private_allowed)


def _check_host(url: str, allow_private: bool) -> None:
    try:
        # Not only ASCII as for webhooks: links in texts may have a name in any script.
        host = URL(url).raw_host
    except ValueError as error:
        raise UnsafeUrl("A media item's url cannot be read.") from error
    if "\\" in url:
        raise UnsafeUrl("A media item's url must not have a backslash.")
    if host:
        check_url(f"http://[{host}]/" if ":" in host else f"http://{host}/", allow_private)
