"""What an accepted call has to tell webhooks: contacts, conversations, texts that ended at once.

Called by ``accept`` where a webhook listens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from viesti.domain.messages.draft import Draft
from viesti.domain.messages.recipients import Recipient
from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent


@dataclass(frozen=True, slots=True)
class ThreadChanges:
    """What the texts did to conversations."""

    closed: Sequence[tuple[UUID, UUID]]  # (conversation id, contact id)
    started: Mapping[UUID, UUID]  # the contact of each, by the conversation's id


def thread_events(account_id: UUID, threads: ThreadChanges) -> list[NewEvent]:
    events = [
        NewEvent(
            account_id,
            EventType.CONVERSATION_CLOSED,
            contact_id=contact_id,
            conversation_id=conversation_id,
        )
        for conversation_id, contact_id in threads.closed
    ]
    events += [
        NewEvent(
            account_id,
            EventType.CONVERSATION_STARTED,
            contact_id=contact_id,
            conversation_id=conversation_id,
        )
        for conversation_id, contact_id in threads.started.items()
    ]
    return events


def contact_events(account_id: UUID, found: Sequence[Recipient]) -> list[NewEvent]:
    contacts = {recipient.contact.id: recipient.contact for recipient in found}
    return [
        NewEvent(
            account_id,
            EventType.CONTACT_CREATED if contact.inserted else EventType.CONTACT_UPDATED,
            contact_id=contact.id,
        )
        for contact in contacts.values()
        if contact.inserted or contact.changed
    ]


def born_ended(account_id: UUID, drafts: Sequence[Draft]) -> list[NewEvent]:
    """The events of texts that were refused or suspended as they were accepted."""
    return [
        NewEvent(
            account_id,
            EventType.MESSAGE_STATUS,
            contact_id=draft.contact.id,
            conversation_id=draft.conversation_id,
            message_id=draft.id,
            facts={"status": draft.status.value, "error_code": draft.error_code},
        )
        for draft in drafts
        if draft.error_code is not None
    ]
