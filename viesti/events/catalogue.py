"""The closed set of events that a webhook may subscribe to; read by every room that records one.

The names are the union of the two enumerations of the v1 API (subscribing and delivering).
"""

from __future__ import annotations

import enum


class EventType(enum.StrEnum):
    """The wire name of an event."""

    MESSAGE_RECEIVED = "message-received"
    MESSAGE_SENT = "message-sent"
    MESSAGE_STATUS = "message-status"
    CONTACT_CREATED = "contact-created"
    CONTACT_UPDATED = "contact-updated"
    CONTACT_REMOVED = "contact-removed"
    CONTACT_OPT_OUT = "contact-opt-out"
    CONTACT_OPT_IN = "contact-opt-in"
    CONVERSATION_STARTED = "conversation-started"
    CONVERSATION_CLOSED = "conversation-closed"
    LIST_OPT_OUT = "list-opt-out"
    LIST_OPT_IN = "list-opt-in"
