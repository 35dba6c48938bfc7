"""``/jobs``: what became of sending calls and of contact files, and taking sends back."""

from __future__ import annotations

from typing import Any

import psycopg
from litestar import Request, Response, delete, get
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.paging import read_paging
from viesti.api.respond import ok, ok_page
from viesti.api.services import services_of
from viesti.domain.imports.queries import find_accepted, list_refused
from viesti.domain.imports.views import import_view
from viesti.domain.messages.control import Swept, cancel_job
from viesti.domain.messages.expansion import EXPANSION_CHANNEL
from viesti.domain.messages.jobs import (
    Job,
    get_job,
    job_counts,
    job_view,
    list_jobs,
    read_job_id,
)
from viesti.domain.messages.jobs import listed_job_view as listed_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now


@get("/jobs")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params)
    page = await services_of(request).database.run(
        lambda conn: list_jobs(conn, account, paging.offset, paging.limit)
    )
    views = [listed_view(job, job.id in page.waits) for job in page.jobs]
    return ok_page(views, paging, page.total_count)


@get("/jobs/{job_id:str}")
async def fetch(request: Request[Any, Any, Any], job_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        imported = find_accepted(conn, account, job_id)
        if imported is not None:
            return import_view(imported, list_refused(conn, account, imported.id))
        return job_view(get_job(conn, account, job_id))

    return ok(await services_of(request).database.run(work))


@delete("/jobs/{job_id:str}", status_code=200)
async def cancel(request: Request[Any, Any, Any], job_id: FromPath[str]) -> Response[bytes]:
    """Cancel all that has not begun to leave. Of a large job the ``work`` role does the rest."""
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> tuple[Swept, Job]:
        found = read_job_id(job_id)
        swept = cancel_job(conn, account, found, utc_now())
        return swept, job_counts(conn, account, found)

    services = services_of(request)
    swept, job = await services.database.run(work)
    if swept.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    if swept.more:
        services.waker.wake(EXPANSION_CHANNEL)
    return ok(job_view(job))


ROUTES = [list_, fetch, cancel]
