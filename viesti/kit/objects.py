"""The place where files lie: a folder by default, or an object store named by a URL.

Called by the API and by housekeeping. ``s3://``, ``gs://`` and ``az://`` take their credentials
from the environment variables that the providers' own tools use.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from viesti.kit.config import ConfigError, Settings

FOLDER = "files"
_MODE = 0o700


def open_objects(settings: Settings) -> ObjectStore:
    """The store of ``settings``. Raises ConfigError if its URL cannot be used."""
    return _open(settings.files_url, settings.data_dir.absolute() / FOLDER)


@cache
def _open(url: str, folder: Path) -> ObjectStore:
    if not url:
        folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
        return LocalStore(folder)
    scheme = urlsplit(url).scheme
    try:
        if scheme == "s3":
            # A store of one's own is often reached without TLS on a private network.
            plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
            return S3Store.from_url(url, client_options={"allow_http": plain})
        if scheme == "gs":
            return GCSStore.from_url(url)
        if scheme == "az":
            return AzureStore.from_url(url)
        return LocalStore.from_url(url, mkdir=True)
    except Exception as error:
        raise ConfigError(f"VIESTI_FILES_URL cannot be used: {error}") from error
