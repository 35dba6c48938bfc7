"""An account with contacts, campaigns made and run by the room's own functions at a told time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from tests.messaging_rig import Rig
from viesti.domain.campaigns import runs, service, work
from viesti.domain.campaigns.files import take_file
from viesti.domain.campaigns.models import Campaign, Run
from viesti.domain.campaigns.service import House
from viesti.domain.campaigns.store import get_campaign, list_runs
from viesti.domain.campaigns.wire import CampaignInput, QuickInput
from viesti.domain.contacts.models import ContactInput, MergeStrategy
from viesti.domain.contacts.service import create_contacts
from viesti.domain.messages import expansion
from viesti.kit.clock import utc_now
from viesti.kit.ids import bound_at

LATE = timedelta(hours=1)
_LONG_AGO = bound_at(datetime(2020, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class CampaignRig(Rig):
    """``now`` moves only when a test moves it."""

    now: datetime = field(default_factory=utc_now)

    def people(self, count: int, tag: str = "all", first: int = 0) -> list[str]:
        """Contacts with a tag; their numbers."""
        numbers = [f"+1347555{1000 + first + n}" for n in range(count)]
        given = [
            ContactInput(mobile=number, first_name=f"Name{n}", tags=[tag])
            for n, number in enumerate(numbers)
        ]
        with self.pool.connection() as conn:
            create_contacts(conn, self.account_id, given, MergeStrategy.APPEND, self.now)
            # Ids tell when a contact was made; these were there before any told time.
            for n, number in enumerate(numbers):
                conn.execute(
                    "UPDATE contacts SET id = %s WHERE account_id = %s AND mobile = %s",
                    (UUID(int=_LONG_AGO.int + first + n), self.account_id, number),
                )
        return numbers

    def create(self, **fields: Any) -> Campaign:
        given = {"template": "Hi {{firstName}}", "filters": {"tags": ["all"]}} | fields
        with self.pool.connection() as conn:
            return service.create_campaign(
                conn,
                self.account_id,
                msgspec.convert(given, CampaignInput),
                House(LATE, allow_private=True),
                None,
                self.now,
            )

    def update(self, campaign: Campaign, **fields: Any) -> Campaign:
        with self.pool.connection() as conn:
            return service.update_campaign(
                conn,
                self.account_id,
                str(campaign.id),
                msgspec.convert(fields, CampaignInput),
                House(LATE, allow_private=True),
                self.now,
            )

    def quick(self, **fields: Any) -> runs.Acted:
        with self.pool.connection() as conn:
            return service.quick_campaign(
                conn,
                self.account_id,
                msgspec.convert(fields, QuickInput),
                House(LATE),
                None,
                self.now,
            )

    def execute(self, campaign: Campaign) -> Run:
        with self.pool.connection() as conn:
            run = runs.execute(conn, self.account_id, str(campaign.id), None, self.now).run
        assert run is not None
        return run

    def upload(self, campaign: Campaign, text: str) -> Run:
        with self.pool.connection() as conn:
            run = take_file(
                conn, self.account_id, str(campaign.id), text.encode(), "", None, self.now
            ).run
        assert run is not None
        return run

    def act(self, what: str, campaign: Campaign) -> runs.Acted:
        """``pause``, ``resume`` or ``cancel``."""
        with self.pool.connection() as conn:
            acted: runs.Acted = getattr(runs, what)(
                conn, self.account_id, str(campaign.id), self.now
            )
            return acted

    def work(self, at: datetime | None = None) -> None:
        """Everything that the work role has to do at ``at``, in rounds as it does it."""
        self.now = at or self.now
        pieces = [
            (work.find_work, work.work_on(LATE)),
            (expansion.find_work, expansion.work_on),
        ]
        did = True
        while did:
            did = False
            for find, piece in pieces:
                with self.pool.connection() as conn:
                    found: Sequence[tuple[UUID, UUID]] = find(conn, self.now)
                for account, key in found:
                    with self.pool.connection() as conn:
                        did |= piece(conn, account, key, self.now).done

    def fetch(self, campaign: Campaign) -> Campaign:
        with self.pool.connection() as conn:
            return get_campaign(conn, self.account_id, str(campaign.id))

    def runs_of(self, campaign: Campaign) -> list[Run]:
        """Oldest first."""
        with self.pool.connection() as conn:
            return list_runs(conn, self.account_id, campaign.id, 0, 100).runs[::-1]

    def sent_to(self) -> list[str]:
        """The numbers of all texts, in order of their ids."""
        rows = self.rows(
            "SELECT mobile FROM messages WHERE account_id = %s AND outgoing ORDER BY id",
            self.account_id,
        )
        return [row[0] for row in rows]

    def statuses(self) -> dict[str, int]:
        return dict(
            self.rows(
                "SELECT status, count(*) FROM messages WHERE account_id = %s GROUP BY status",
                self.account_id,
            )
        )
