"""/health (the process lives), /ready (it can serve), /metrics (Prometheus)."""

from __future__ import annotations

import os
from typing import Any

import prometheus_client
from litestar import Request, Response, get
from prometheus_client import multiprocess

from viesti import __version__
from viesti.api.respond import answer
from viesti.api.services import services_of


@get("/health")
async def health() -> Response[bytes]:
    return answer({"status": "ok", "version": __version__})


@get("/ready")
async def ready(request: Request[Any, Any, Any]) -> Response[bytes]:
    """200 while the database answers; else 503 with the error envelope."""
    await services_of(request).database.run(lambda conn: conn.execute("SELECT 1").fetchone())
    return answer({"status": "ready"})


@get("/metrics")
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The counters of all workers of this API, and the state of the whole platform."""
    registry: Any = prometheus_client.REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several workers, see ``app.run``
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # pyright: ignore[reportUnknownMemberType]
    platform = await services_of(request).metrics.text()
    return Response(
        prometheus_client.generate_latest(registry) + platform,
        media_type=prometheus_client.CONTENT_TYPE_LATEST.partition("; charset")[0],
    )


ROUTES = [health, ready, metrics]
