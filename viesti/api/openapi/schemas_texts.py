"""The schemas of messages, sends, jobs, conversations, templates, webhooks and shared files."""

from __future__ import annotations

from viesti.api.openapi.build import (
    Schema,
    enum,
    envelope,
    fields,
    flag,
    many,
    moment,
    number,
    page_of,
    ref,
    text,
    whole,
)
from viesti.domain.messages.states import Status
from viesti.events.catalogue import EventType

_ID = text("Opaque; set by the platform.")

ATTRIBUTE_FILTER = fields(
    {
        "attribute": text("the attribute's name; `name` is read too"),
        "name": text(),
        "comparator": enum("=", "<", "<=", ">", ">=", "!="),
        "value": {
            "description": "A value, or several of which one must fit.",
            "anyOf": [text(), number(), many({"anyOf": [text(), number()]})],
        },
    },
    "Numeric where both sides are numbers.",
)
_GROUP_FILTER = fields({"group": fields({"id": text()})}, "Send from a number of this group.")
_MEDIA_IN = many(fields({"url": text("http or https", format="uri")}))

SCHEMAS: dict[str, Schema] = {
    "Media": fields({"url": text(), "type": text(), "filename": text()}),
    "AttributeFilter": ATTRIBUTE_FILTER,
    "Message": fields(
        {
            "id": _ID,
            "contact": ref("ContactIdentifiers"),
            "conversation": fields({"id": text()}),
            "group": ref("GroupRef"),
            "job": fields({"id": text()}),
            "outgoing": flag(),
            "read": flag(),
            "phoneNumber": text("the sender"),
            "type": text("sms or mms"),
            "status": text("where it stands", examples=[status.value for status in Status]),
            "template": text("as it was written"),
            "message": text("as it goes out, merged"),
            "segments": number(),
            "price": number("dollars"),
            "media": many(ref("Media")),
            "error": ref("Error"),
            "sendAt": moment("when it is to go out"),
            "receiptMissing": flag("sent, and no receipt came within 72 hours"),
            "created": ref("Updated"),
            "updated": ref("Updated"),
        }
    ),
    "MessageResponse": envelope(ref("Message")),
    "MessagesResponse": page_of(ref("Message")),
    "SendMessagesRequest": fields(
        {
            "contacts": many(ref("ContactRequest"), "by id or by mobile; unknown numbers are made"),
            "conversations": many(text(), "ids of conversations to reply into"),
            "filters": fields(
                {"tags": many(text()), "attributes": many({"type": "object"})},
                "Stored contacts; each clause narrows further.",
            ),
            "phoneNumberFilter": _GROUP_FILTER,
            "template": text("the text, with placeholders such as {{firstName}}"),
            "type": enum("SMS", "MMS"),
            "media": _MEDIA_IN,
            "conversationStrategy": text(
                "reuse (default), new or existing", examples=["reuse", "new", "existing"]
            ),
            "sendAt": moment("not before this time"),
        }
    ),
    "SendMessagesResponse": envelope(
        fields(
            {
                "jobId": text(),
                "requested": whole(),
                "valid": whole(),
                "invalid": many(ref("Contact"), "who gets no text, with why"),
                "queued": whole("texts on their way"),
                "messages": many(ref("Message"), "the first 1,000"),
                "estimatedPrice": number("dollars"),
            }
        )
    ),
    "Job": fields(
        {
            "id": _ID,
            "status": text("scheduled, running, paused, canceled or complete"),
            "template": text(),
            "requested": whole(),
            "valid": whole(),
            "invalid": whole(),
            "queued": whole(),
            "sent": whole(),
            "delivered": whole(),
            "failed": whole(),
            "price": number("dollars"),
            "sendAt": moment("when it goes out, if it was sent for later"),
            "created": ref("Updated"),
        }
    ),
    "JobResponse": envelope(ref("Job")),
    "JobsResponse": page_of(ref("Job")),
    "Conversation": fields(
        {
            "id": _ID,
            "contact": ref("ContactIdentifiers"),
            "group": ref("GroupRef"),
            "phoneNumber": ref("PhoneNumber"),
            "type": text(),
            "unread": many(text(), "ids of the users who have not read it"),
            "lastMessage": ref("Message"),
            "closed": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "absent while it is open",
            },
            "flagged": moment("an inbound text read like an opt-out without being one"),
            "created": ref("Updated"),
            "updated": ref("Updated"),
        }
    ),
    "ConversationResponse": envelope(ref("Conversation")),
    "ConversationsResponse": page_of(ref("Conversation")),
    "TemplateRequest": fields(
        {
            "name": text(),
            "template": text("up to 4,000 characters"),
            "type": enum("SMS", "Web"),
            "media": _MEDIA_IN,
        }
    ),
    "Template": {
        "allOf": [
            ref("TemplateRequest"),
            fields({"id": _ID, "created": ref("Updated"), "updated": ref("Updated")}),
        ]
    },
    "PreviewRequest": fields(
        {
            "templateId": text("a stored template"),
            "template": text("or the text of one"),
            "type": enum("SMS", "Web"),
            "media": many({}, "URLs, or objects with url"),
            "contactId": text("a stored contact"),
            "contact": ref("ContactRequest"),
        }
    ),
    "PreviewResponse": envelope(
        fields(
            {
                "message": text("merged"),
                "type": text(),
                "segments": whole(),
                "encoding": text(),
                "price": number("dollars"),
                "unicodeCharacters": many(
                    fields({"character": text(), "position": whole()}),
                    "what makes the whole text UCS-2",
                ),
                "error": ref("Error"),
            }
        )
    ),
    "TemplateResponse": envelope(ref("Template")),
    "TemplatesResponse": page_of(ref("Template")),
    "Webhook": fields(
        {
            "id": _ID,
            "url": text(),
            "destination": text("the same as url"),
            "type": text(),
            "eventTypes": many(enum(*[kind.value for kind in EventType])),
            "secret": text("signs each delivery; shown when it is made"),
            "created": ref("Updated"),
            "updated": ref("Updated"),
        }
    ),
    "WebhookResponse": envelope(ref("Webhook")),
    "WebhooksResponse": page_of(ref("Webhook")),
    "Event": fields(
        {
            "accountId": ref("AccountId"),
            "eventType": enum(*[kind.value for kind in EventType]),
            "eventId": text("the same in each attempt"),
            "sequence": whole("counts up in a conversation"),
            "payload": {"type": "object", "description": "the message, contact or conversation"},
        },
        "What a webhook receives; headers webhook-id, webhook-timestamp, webhook-signature.",
    ),
    "ShareFileResponse": envelope(fields({"link": text("to use in a text"), "expires": moment()})),
}
