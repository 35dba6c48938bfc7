"""The status in the forms that machines read: JSON and Prometheus' text."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prometheus_client.parser import text_string_to_metric_families

from viesti.monitoring.gauges import exposition
from viesti.monitoring.models import (
    Accepted,
    Bind,
    Carrier,
    Errors,
    FailingWebhook,
    Lane,
    Parked,
    Process,
    Queue,
    Status,
    Webhooks,
)
from viesti.monitoring.view import status_view

DOCS = Path(__file__).parents[2] / "docs" / "operations"
AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
ACCOUNT = UUID("01954f2a-0000-7000-8000-000000000001")
LANE = UUID("01954f2a-0000-7000-8000-000000000002")
WEBHOOK = UUID("01954f2a-0000-7000-8000-000000000003")


def example() -> Status:
    """A platform in the middle of a bulk send; the one that the documentation prints."""
    queue = Queue(waiting=6131, later=12, in_flight=2, oldest_s=10.04)
    parked = Parked(held=1, no_credit=0, oldest_held_s=64.2)
    rates = {"submitted": 400.2, "accepted": 400.1, "receipts": 398.7, "inbound": 0.4}
    return Status(
        at=AT,
        took_s=0.0213,
        processes=[Process("dispatch", "box", 4711, "0.1.0", AT, 0.8, True)],
        queue=queue,
        parked=parked,
        accepted=Accepted(333.4, 0.35),
        errors=Errors(3600, 20_000, {"MSG-019": 3}),
        carriers=[
            Carrier(
                id=LANE,
                name="simulator",
                kind="smpp",
                enabled=True,
                rate_limit_per_s=0.0,
                max_binds=1,
                binds=[Bind(0, AT, "", "dispatch box:4711")],
                lanes=1,
                lanes_leased=1,
                queue=queue,
                parked=parked,
                per_s=rates,
            )
        ],
        lanes=[
            Lane(LANE, ACCOUNT, "Shop", "simulator", "+12015550100", True, queue, parked, 333.4)
        ],
        lanes_busy=1,
        webhooks=Webhooks(2, 0, [FailingWebhook(WEBHOOK, ACCOUNT, 40, 3)], 1, 42, 40, 1, 12.3),
        strays=0,
    )


def samples(text: bytes) -> dict[tuple[str, str], float]:
    """Values by name and label (there is one at most)."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation
        for sample in family.samples:
            assert len(sample.labels) <= 1
            found[sample.name, next(iter(sample.labels.values()), "")] = sample.value
    return found


def test_the_gauges_say_what_the_status_says() -> None:
    found = samples(exposition(example()))
    assert found["viesti_status_ok", ""] == 1
    assert found["viesti_processes", "dispatch"] == 1
    assert found["viesti_processes", "api"] == 0
    assert found["viesti_queue_waiting", "simulator"] == 6131
    assert found["viesti_queue_oldest_seconds", "simulator"] == 10.04
    assert found["viesti_carrier_binds", "simulator"] == 1
    assert found["viesti_carrier_accepted_per_second", "simulator"] == 400.1
    assert found["viesti_parked", "held"] == 1
    assert found["viesti_text_errors", "MSG-019"] == 3
    assert found["viesti_texts_per_second", "out"] == 333.4
    assert found["viesti_webhook_deliveries", "dead"] == 1
    assert found["viesti_webhook_endpoints", "failing"] == 1


def test_no_account_and_no_number_is_in_the_gauges() -> None:
    text = exposition(example()).decode()
    assert str(ACCOUNT) not in text
    assert "2015550100" not in text
    assert "Shop" not in text


def test_a_status_that_could_not_be_read_is_one_gauge() -> None:
    assert samples(exposition(None)) == {("viesti_status_ok", ""): 0}


def test_the_documentation_prints_this_very_object() -> None:
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    block = re.search(r"```json\n(\{\"at\".*?)\n```", page, re.DOTALL)
    assert block is not None
    assert json.loads(block[1]) == json.loads(json.dumps(status_view(example())))


def test_every_gauge_is_in_the_documentation_and_the_other_way_round() -> None:
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(viesti_[a-z_]+)", page))
    printed = {name for name, _ in samples(exposition(example()))}
    assert printed <= told
    assert {name for name in told if not name.startswith("viesti_api_")} <= printed


def test_the_dashboard_asks_for_gauges_that_exist() -> None:
    dashboard: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    assert len(queries) > 15
    printed = {name for name, _ in samples(exposition(example()))}
    printed |= {"viesti_api_requests_total", "viesti_api_request_seconds_bucket"}
    asked = {name for query in queries for name in re.findall(r"viesti_[a-z_]+", query)}
    assert asked <= printed
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
