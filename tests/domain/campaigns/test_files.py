"""Files of campaigns: each row is one contact and one text, merged with that row."""

from __future__ import annotations

from tests.domain.campaigns.rig import CampaignRig
from viesti.domain.campaigns.views import last_job_view


def test_a_file_gives_each_row_a_contact_and_its_own_text(rig: CampaignRig) -> None:
    campaign = rig.create(
        trigger={"code": "FU"},
        filters={},
        template="{{firstName}} owes {{amount}} for {{Kunde}}",
        fieldMappings=[
            {"attribute": "mobile", "column": "Handy", "mandatory": True},
            {"attribute": "firstName", "column": "Vorname"},
            {"attribute": "amount", "column": "Betrag", "mandatory": True},
        ],
    )
    rig.upload(
        campaign,
        "Vorname;Handy;Betrag;Kunde\n"
        "Ada;+13475550001;5;A\nBob;+13475550002;7;B\nBob;+13475550002;8;B\n"
        "Eve;12;9;C\nDan;+13475550003;;D\n",
    )
    rig.work()
    assert rig.texts(outgoing=True) == [
        "Ada owes 5 for A",
        "Bob owes 7 for B",
        "Bob owes 8 for B",
    ]
    rows = rig.rows(
        "SELECT first_name, attributes FROM contacts WHERE account_id = %s ORDER BY mobile",
        rig.account_id,
    )
    assert rows == [("Ada", {"amount": "5"}), ("Bob", {"amount": "8"})]
    (run,) = rig.runs_of(campaign)
    job = last_job_view(run)
    assert (job["submitted"], job["failures"], run.requested) == (3, 2, 5)
    assert [(e["row"], e["error"]["code"]) for e in job["invalid"]] == [
        (4, "CONT-001"),
        (5, "CAMP-007"),
    ]
    rig.check_books()


def test_a_file_of_many_rows_is_read_in_chunks_and_may_be_paused_and_canceled(
    rig: CampaignRig,
) -> None:
    campaign = rig.create(trigger={"code": "FU"}, filters={}, template="Hi {{nr}}")
    lines = "".join(f"+1347{5550000 + n},{n}\n" for n in range(1_200))
    rig.upload(campaign, "mobile,nr\n" + lines)
    rig.act("pause", campaign)
    rig.work()
    assert rig.sent_to() == []
    rig.act("resume", campaign)
    rig.work()
    assert len(set(rig.sent_to())) == len(rig.sent_to()) == 1_200
    rig.act("cancel", campaign)
    rig.work()
    assert rig.statuses() == {"canceled": 1_200}
    rig.check_books()
