"""The API front: its routes on Litestar, served by Granian. ``viesti api`` calls ``run``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import psycopg
from anyio import to_thread
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler, Message, Receive, Scope, Send
from psycopg_pool import ConnectionPool

from viesti.api.auth import Authenticator, account_guard, allowance_of, token_guard
from viesti.api.body import MAX_OCTETS
from viesti.api.database import Database
from viesti.api.errors import HANDLERS
from viesti.api.platform_metrics import PlatformMetrics
from viesti.api.rate import RateLimiter
from viesti.api.request_id import (
    HEADER,
    note_arrival,
    request_id_of,
    route_of,
    seconds_since_arrival,
)
from viesti.api.services import STATE_KEY, Services
from viesti.db.heartbeat import Heartbeat
from viesti.db.pool import open_pool
from viesti.db.waker import Waker
from viesti.kit.config import Settings, load_settings
from viesti.kit.objects import open_objects
from viesti.kit.process import SUPERVISOR_VARIABLE, follow_supervisor
from viesti.kit.secrets import load_platform_key

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client counts for all workers
# What requests under way get to finish in when the API is told to stop.
STOP_WITHIN_S = 15
# What a browser page may send and read (the contract's and our additional headers).
_CORS_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"]
_CORS_EXPOSED = [
    "X-Request-Id",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-Total-Count-Estimated",
]

Pool = ConnectionPool[psycopg.Connection]


class Api(Litestar):
    """Litestar that notes when each request came in."""

    async def __call__(self, scope: Scope | Any, receive: Receive | Any, send: Send | Any) -> None:
        if scope["type"] == "http":
            note_arrival(cast(Scope, scope))
        await super().__call__(scope, receive, send)


def create_app(settings: Settings, pool: Pool) -> Litestar:
    """The API on ``pool``, which stays the caller's to close.

    Raises ConfigError if the platform's key cannot be read.
    """
    database = Database(pool)
    platform_key = load_platform_key(settings)
    services = Services(
        settings=settings,
        platform_key=platform_key,
        database=database,
        authenticator=Authenticator(settings, platform_key, database),
        waker=Waker(_direct(settings), "api"),
        metrics=PlatformMetrics(database),
        objects=open_objects(settings),
    )

    limiter = RateLimiter(settings, database)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncGenerator[None]:
        returning = [
            asyncio.create_task(limiter.give_back()),
            asyncio.create_task(services.authenticator.give_back()),
        ]
        yield
        for task in returning:
            task.cancel()
        await to_thread.run_sync(services.waker.close)

    return Api(
        route_handlers=_routes(
            account_guard(services.authenticator, limiter),
            token_guard(services.authenticator, limiter),
        ),
        exception_handlers=HANDLERS,
        before_send=[_finish],
        lifespan=[lifespan],
        state=State({STATE_KEY: services}),
        request_max_body_size=MAX_OCTETS,
        cors_config=_cors(settings.cors_origins),
        openapi_config=None,
        logging_config=None,
    )


def _routes(guard: Any, bare_guard: Any) -> list[ControllerRouterHandler]:
    # Imported here: prometheus_client settles where it counts when it is imported, which in a
    # worker must be after ``run`` named the folder that the workers share.
    from viesti.api import health, reference, shared_files
    from viesti.api.v1 import (
        campaigns,
        contacts,
        conversations,
        groups,
        imports,
        jobs,
        lists,
        messages,
        templates,
        token,
        tools,
        webhooks,
    )

    account = Router(
        path="/v1/accounts/{account_id:str}",
        guards=[guard],
        route_handlers=[
            *contacts.ROUTES,
            *messages.ROUTES,
            *conversations.ROUTES,
            *webhooks.ROUTES,
            *jobs.ROUTES,
            *imports.ROUTES,
            *lists.ROUTES,
            *groups.ROUTES,
            *campaigns.ROUTES,
            *templates.ROUTES,
        ],
    )
    tooling = Router(path="/", guards=[bare_guard], route_handlers=tools.ROUTES)
    return [
        account,
        tooling,
        *token.ROUTES,
        *shared_files.ROUTES,
        *health.ROUTES,
        *reference.ROUTES,
    ]


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_headers=_CORS_HEADERS,
        expose_headers=_CORS_EXPOSED,
        max_age=600,
    )


async def _finish(message: Message, scope: Scope) -> None:
    """Give each answer its X-Request-Id, and count it."""
    from viesti.api.metrics import count_request

    if message["type"] != "http.response.start" or scope["type"] != "http":
        return
    headers = [*message["headers"], (HEADER, request_id_of(scope).encode())]
    allowance = allowance_of(scope)
    message["headers"] = headers + (allowance.headers() if allowance is not None else [])
    count_request(scope["method"], route_of(scope), message["status"], seconds_since_arrival(scope))


# Handed to the workers, which ``run`` forks.
_serving: Settings | None = None
_server_pid: int | None = None


def create_worker_app() -> Litestar:
    """The app of one Granian worker, with a pool of its own."""
    # Until Granian sets its own handlers, a forked worker would take a stop for its server's.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = _serving or load_settings()
    if _server_pid is not None:
        follow_supervisor({SUPERVISOR_VARIABLE: str(_server_pid)})
    stack = contextlib.ExitStack()
    pool = open_pool(settings.database_url, 1, settings.database_pool_size, "api")
    stack.callback(pool.close)
    stack.enter_context(Heartbeat(_direct(settings), "api"))
    app = create_app(settings, pool)
    app.on_shutdown.append(stack.close)
    return app


def _direct(settings: Settings) -> str:
    return settings.database_direct_url or settings.database_url


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    from granian import Granian
    from granian.constants import Interfaces, Loops

    global _serving, _server_pid
    _serving, _server_pid = settings, os.getpid()
    with contextlib.ExitStack() as stack:
        if settings.api_processes > 1:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="viesti-api-"))
            os.environ[METRICS_FOLDER] = folder
        Granian(
            "viesti.api.app:create_worker_app",
            factory=True,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.api_processes,
            loop=Loops.uvloop,
            websockets=False,
            log_enabled=False,
            respawn_failed_workers=settings.api_processes > 1,
            workers_kill_timeout=STOP_WITHIN_S,
        ).serve()
