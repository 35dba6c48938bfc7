"""``/jobs/{jobId}``: what became of a sending call."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.respond import ok
from viesti.api.services import services_of
from viesti.domain.messages.jobs import get_job, job_view


@get("/jobs/{job_id:str}")
async def fetch(request: Request[Any, Any, Any], job_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    job = await services_of(request).database.run(lambda conn: get_job(conn, account, job_id))
    return ok(job_view(job))


ROUTES = [fetch]
