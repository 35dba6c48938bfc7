"""``/campaigns``: create, change, run, pause and resume; ``/quickcampaigns``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import (
    MAX_BULK_OCTETS,
    decode_json,
    is_blank,
    read_idempotency_key,
    require_json,
)
from viesti.api.media import check_media
from viesti.api.one_file import read_file
from viesti.api.paging import read_paging, read_text
from viesti.api.respond import answer, ok, ok_page
from viesti.api.services import Services, services_of
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.domain.campaigns.files import take_file
from viesti.domain.campaigns.models import Campaign
from viesti.domain.campaigns.repeats import start_once
from viesti.domain.campaigns.reports import secret_purpose
from viesti.domain.campaigns.runs import Acted, cancel, execute, pause, resume
from viesti.domain.campaigns.service import (
    House,
    create_campaign,
    delete_campaign,
    quick_campaign,
    show_campaigns,
    update_campaign,
)
from viesti.domain.campaigns.store import get_campaign, list_campaigns, list_runs
from viesti.domain.campaigns.tend import count_now
from viesti.domain.campaigns.views import last_job_view, run_view
from viesti.domain.campaigns.wire import CampaignInput, QuickInput
from viesti.domain.campaigns.work import CAMPAIGNS_CHANNEL
from viesti.domain.messages.expansion import EXPANSION_CHANNEL
from viesti.domain.messages.idempotency import Key
from viesti.domain.webhook_endpoints.models import secret_text
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid

Asked = Request[Any, Any, Any]

# Generated clients put null, and PHP puts [], where they have nothing to say.
_GIVEN: msgspec.json.Decoder[CampaignInput | list[Any] | None] = msgspec.json.Decoder(
    CampaignInput | list[Any] | None
)
_QUICK: msgspec.json.Decoder[QuickInput] = msgspec.json.Decoder(QuickInput)


@get("/campaigns")
async def list_(request: Asked) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params)
    name = read_text(request.query_params, "name")

    def work(conn: psycopg.Connection) -> tuple[list[dict[str, Any]], int]:
        page = list_campaigns(conn, account, name, paging.offset, paging.limit)
        return show_campaigns(conn, account, page.campaigns), page.total_count

    data, total = await services_of(request).database.run(work)
    return ok_page(data, paging, total)


@post("/campaigns", status_code=201)
async def create(request: Asked) -> Response[bytes]:
    caller = caller_of(request)
    given = await _read_campaign(request)
    house = _house(services_of(request))
    secret = _report_secret(request)

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        campaign = create_campaign(
            conn, caller.account_id, given, house, caller.credential_id, utc_now()
        )
        return _show(conn, campaign, secret)

    return ok(await services_of(request).database.run(work), status=201)


@get("/campaigns/{campaign_id:str}")
async def fetch(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        campaign = get_campaign(conn, account, campaign_id)
        count_now(conn, account, campaign.id, utc_now())
        return _show(conn, campaign)

    return ok(await services_of(request).database.run(work))


@put("/campaigns/{campaign_id:str}")
async def update(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    given = await _read_campaign(request)
    house = _house(services_of(request))
    secret = _report_secret(request)

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        campaign = update_campaign(conn, account, campaign_id, given, house, utc_now())
        return _show(conn, campaign, secret)

    return ok(await services_of(request).database.run(work))


@delete("/campaigns/{campaign_id:str}", status_code=200)
async def remove(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    services = services_of(request)
    acted = await services.database.run(
        lambda conn: delete_campaign(conn, account, campaign_id, utc_now())
    )
    _wake(services, acted)
    return answer({"success": True})


@post("/campaigns/{campaign_id:str}/execute", status_code=200)
async def run(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    caller = caller_of(request)
    return await _act(
        request,
        _once(
            request,
            "campaigns.execute",
            _octets(campaign_id),
            lambda conn: execute(
                conn, caller.account_id, campaign_id, caller.credential_id, utc_now()
            ),
        ),
    )


@post("/campaigns/{campaign_id:str}/pause", status_code=200)
async def pause_(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    return await _act(request, lambda conn: pause(conn, account, campaign_id, utc_now()))


@post("/campaigns/{campaign_id:str}/resume", status_code=200)
async def resume_(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    return await _act(request, lambda conn: resume(conn, account, campaign_id, utc_now()))


@post("/campaigns/{campaign_id:str}/cancel", status_code=200)
async def cancel_(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    return await _act(request, lambda conn: cancel(conn, account, campaign_id, utc_now()))


@post("/campaigns/{campaign_id:str}/file", status_code=200, request_max_body_size=MAX_BULK_OCTETS)
async def upload(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    caller = caller_of(request)
    octets, charset = await read_file(request)
    return await _act(
        request,
        _once(
            request,
            "campaigns.upload",
            _octets(campaign_id) + octets,
            lambda conn: take_file(
                conn,
                caller.account_id,
                campaign_id,
                octets,
                charset,
                caller.credential_id,
                utc_now(),
            ),
        ),
        bulk=True,
    )


@get("/campaigns/{campaign_id:str}/runs")
async def runs(request: Asked, campaign_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params)

    def work(conn: psycopg.Connection) -> tuple[list[dict[str, Any]], int]:
        campaign = get_campaign(conn, account, campaign_id)
        count_now(conn, account, campaign.id, utc_now())
        page = list_runs(conn, account, campaign.id, paging.offset, paging.limit)
        return [run_view(entry) for entry in page.runs], page.total_count

    data, total = await services_of(request).database.run(work)
    return ok_page(data, paging, total)


@post("/quickcampaigns", status_code=200)
async def quick(request: Asked) -> Response[bytes]:
    caller = caller_of(request)
    require_json(request)
    body = await request.body()
    given = decode_json(body, _QUICK)
    services = services_of(request)
    check_media((given.message and given.message.media) or (), services.settings)
    house = _house(services)

    start = _once(
        request,
        "campaigns.quick",
        body,
        lambda conn: quick_campaign(
            conn, caller.account_id, given, house, caller.credential_id, utc_now()
        ),
    )

    def work(conn: psycopg.Connection) -> tuple[Acted, dict[str, Any]]:
        acted = start(conn)
        shown = {"campaign": _show(conn, acted.campaign)}
        if acted.run is not None:
            shown["job"] = last_job_view(acted.run)
        return acted, shown

    acted, shown = await services.database.run(work)
    _wake(services, acted)
    return ok(shown)


async def _act(
    request: Asked, act: Callable[[psycopg.Connection], Acted], *, bulk: bool = False
) -> Response[bytes]:
    """The campaign after ``act``, which gives ``Acted``; whoever it concerns is woken."""

    def work(conn: psycopg.Connection) -> tuple[Acted, dict[str, Any]]:
        acted = act(conn)
        return acted, _show(conn, acted.campaign)

    services = services_of(request)
    acted, shown = await services.database.run(work, bulk=bulk)
    _wake(services, acted)
    return ok(shown)


def _once(
    request: Asked, operation: str, body: bytes, start: Callable[[psycopg.Connection], Acted]
) -> Callable[[psycopg.Connection], Acted]:
    """``start``, done once for all calls with the same Idempotency-Key."""
    caller, written = caller_of(request), read_idempotency_key(request)
    key = None
    if written is not None:
        key = Key(caller.account_id, caller.credential_id, operation, written)
    return lambda conn: start_once(conn, key, body, utc_now(), start)


def _octets(campaign_id: str) -> bytes:
    # What a path holds need not be UTF-8.
    return campaign_id.encode(errors="surrogatepass") + b"\n"


def _wake(services: Services, acted: Acted) -> None:
    for lane in {hint.lane_id for hint in acted.wake}:
        services.waker.wake(DISPATCH_CHANNEL, str(lane))
    if acted.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    for channel in (EXPANSION_CHANNEL, CAMPAIGNS_CHANNEL):
        services.waker.wake(channel)


def _show(
    conn: psycopg.Connection, campaign: Campaign, secret: str | None = None
) -> dict[str, Any]:
    return show_campaigns(conn, campaign.account_id, [campaign], secret)[0]


def _report_secret(request: Asked) -> str:
    """By what receivers verify the account's reports; shown to who writes a campaign only."""
    purpose = secret_purpose(caller_of(request).account_id)
    return secret_text(services_of(request).platform_key.derive(purpose))


def _house(services: Services) -> House:
    settings = services.settings
    return House(timedelta(seconds=settings.campaign_late_s), settings.private_allowed)


async def _read_campaign(request: Asked) -> CampaignInput:
    body = await request.body()
    if is_blank(body):
        return CampaignInput()
    require_json(request)
    given = decode_json(body, _GIVEN)
    if isinstance(given, list) and given:
        raise Invalid("The body must be one campaign, not a list.")
    if not isinstance(given, CampaignInput):
        return CampaignInput()
    check_media(given.media or (), services_of(request).settings)
    return given


ROUTES = [
    list_,
    create,
    fetch,
    update,
    remove,
    run,
    pause_,
    resume_,
    cancel_,
    upload,
    runs,
    quick,
]
