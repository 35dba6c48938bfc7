"""Quick campaigns: a list, a text, at once or at a moment."""

from __future__ import annotations

from datetime import timedelta

from tests.domain.campaigns.rig import CampaignRig
from viesti.domain.campaigns.models import RunState
from viesti.domain.campaigns.views import status_of
from viesti.kit.ids import new_id

MINUTE = timedelta(minutes=1)


def add_list(rig: CampaignRig, numbers: list[str]) -> str:
    list_id = new_id()
    rig.run(
        "INSERT INTO lists (account_id, id, name, created_at, updated_at)"
        " VALUES (%s, %s, 'News', %s, %s)",
        rig.account_id,
        list_id,
        rig.now,
        rig.now,
    )
    for number in numbers:
        join_list(rig, str(list_id), number)
    return str(list_id)


def join_list(rig: CampaignRig, list_id: str, number: str) -> None:
    rig.run(
        "INSERT INTO list_members (account_id, list_id, contact_id, created_at)"
        " SELECT account_id, %s, id, created_at FROM contacts"
        " WHERE account_id = %s AND mobile = %s",
        list_id,
        rig.account_id,
        number,
    )


def test_a_quick_campaign_goes_to_its_list_at_once(rig: CampaignRig) -> None:
    numbers = rig.people(3)
    list_id = add_list(rig, numbers[:2])
    acted = rig.quick(name="Today", listId=list_id, message={"message": "Hi {{firstName}}"})
    rig.work()
    assert sorted(rig.sent_to()) == numbers[:2]
    assert acted.run is not None
    assert rig.fetch(acted.campaign).filters == {"list": list_id}


def test_a_quick_campaign_for_later_reads_its_list_then_and_may_be_called_off(
    rig: CampaignRig,
) -> None:
    numbers = rig.people(3)
    list_id = add_list(rig, numbers[:1])
    later = rig.now + timedelta(hours=2)
    fields = {"name": "Later", "listId": list_id, "message": {"message": "Hi"}}
    acted = rig.quick(**fields, sendAt=later.isoformat())
    off = rig.quick(**fields, sendAt=later.isoformat())
    assert acted.run is not None
    assert status_of(acted.run) == "scheduled"
    rig.work(rig.now + MINUTE)
    assert rig.sent_to() == []
    rig.act("cancel", off.campaign)
    join_list(rig, list_id, numbers[1])
    rig.work(later)
    assert sorted(rig.sent_to()) == numbers[:2]
    assert rig.runs_of(off.campaign)[0].state is RunState.CANCELED
