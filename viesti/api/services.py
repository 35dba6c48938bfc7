"""What the routes of one API process share; made by ``create_app``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from litestar.connection import ASGIConnection
from obstore.store import ObjectStore

from viesti.api.auth import Authenticator
from viesti.api.database import Database
from viesti.api.platform_metrics import PlatformMetrics
from viesti.db.waker import Waker
from viesti.kit.config import Settings
from viesti.kit.secrets import PlatformKey

STATE_KEY = "viesti_services"


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    platform_key: PlatformKey
    database: Database
    authenticator: Authenticator
    waker: Waker
    metrics: PlatformMetrics
    objects: ObjectStore


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    return cast(Services, connection.app.state[STATE_KEY])
