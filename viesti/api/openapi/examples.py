"""The values that the examples are made of; invented people, numbers reserved for fiction."""

from __future__ import annotations

from typing import Any

AT = {"at": "2026-03-02T15:04:05.000Z"}
CONTACT_ID = "01954f2a-1c00-7000-8000-000000000001"
MESSAGE_ID = "01954f2a-1c00-7000-8000-000000000002"
CONVERSATION_ID = "01954f2a-1c00-7000-8000-000000000003"
JOB_ID = "01954f2a-1c00-7000-8000-000000000004"
TEMPLATE_ID = "01954f2a-1c00-7000-8000-000000000005"
CAMPAIGN_ID = "01954f2a-1c00-7000-8000-000000000006"
WEBHOOK_ID = "01954f2a-1c00-7000-8000-000000000007"
GROUP_ID = "01954f2a-1c00-7000-8000-000000000008"
RUN_ID = "01954f2a-1c00-7000-8000-00000000000a"
LIST_ID = "01954f2a-1c00-7000-8000-000000000009"
SENDER = "+12015550100"

MOBILE = {"number": "+13475550101", "country": "US"}
IDENTIFIERS: dict[str, Any] = {
    "id": CONTACT_ID,
    "firstName": "Ada",
    "lastName": "Quill",
    "email": "ada@example.com",
    "mobile": MOBILE,
}
CONTACT_IN: dict[str, Any] = {
    "firstName": "Ada",
    "lastName": "Quill",
    "email": "ada@example.com",
    "mobile": {"number": "(347) 555-0101", "country": "US"},
    "attributes": {"plan": "gold"},
    "tags": [{"tag": "VIP", "visible": True}],
}
CONTACT: dict[str, Any] = IDENTIFIERS | {
    "mobile": MOBILE | {"valid": True},
    "attributes": {"plan": "gold"},
    "tags": [{"tag": "VIP", "visible": True}],
    "valid": True,
    "created": AT,
    "updated": AT,
}
GROUP = {"id": GROUP_ID, "name": "Front desk"}
MESSAGE: dict[str, Any] = {
    "id": MESSAGE_ID,
    "contact": IDENTIFIERS,
    "conversation": {"id": CONVERSATION_ID},
    "group": GROUP,
    "job": {"id": JOB_ID},
    "outgoing": True,
    "read": True,
    "phoneNumber": SENDER,
    "type": "sms",
    "status": "queued",
    "template": "Hi {{firstName}}, see you at 3",
    "message": "Hi Ada, see you at 3",
    "segments": 1,
    "price": 0.032,
    "media": [],
    "created": AT,
    "updated": AT,
}
CONVERSATION: dict[str, Any] = {
    "id": CONVERSATION_ID,
    "contact": IDENTIFIERS,
    "group": GROUP,
    "phoneNumber": {"id": GROUP_ID, "number": SENDER, "country": "US", "active": True},
    "type": "sms",
    "unread": [],
    "lastMessage": MESSAGE,
    "created": AT,
    "updated": AT,
}
TEMPLATE_IN = {"name": "Reminder", "template": "Hi {{firstName}}, see you at 3", "type": "SMS"}
TEMPLATE: dict[str, Any] = {"id": TEMPLATE_ID} | TEMPLATE_IN | {"created": AT, "updated": AT}
CAMPAIGN_IN: dict[str, Any] = {
    "name": "Spring offer",
    "template": "Hi {{firstName}}, spring is here",
    "trigger": {"code": "M"},
    "filters": {"tags": ["VIP"]},
    "reporting": {"when": "NoReport"},
}
CAMPAIGN: dict[str, Any] = (
    {"id": CAMPAIGN_ID}
    | CAMPAIGN_IN
    | {"filters": {"tags": [{"tag": "VIP", "visible": True}]}, "created": AT, "updated": AT}
)
IMPORT: dict[str, Any] = {
    "id": JOB_ID,
    "type": "import",
    "status": "running",
    "mergeStrategy": "append",
    "submitted": 100000,
    "done": 40000,
    "success": 39998,
    "failed": 2,
    "inserted": 30000,
    "updated": 9998,
    "errors": [],
    "created": AT,
}
QUICK_CAMPAIGN_IN: dict[str, Any] = {
    "name": "Open today",
    "groupId": GROUP_ID,
    "listId": LIST_ID,
    "message": {"message": "Hi {{firstName}}, we are open until 8", "media": []},
}
JOB: dict[str, Any] = {
    "id": JOB_ID,
    "status": "running",
    "template": "Hi {{firstName}}, see you at 3",
    "requested": 1,
    "valid": 1,
    "invalid": 0,
    "queued": 1,
    "sent": 0,
    "delivered": 0,
    "failed": 0,
    "price": 0.032,
    "created": AT,
}
WEBHOOK_IN = {
    "url": "https://example.com/hooks/texts",
    "eventTypes": ["message-received", "message-status"],
}
WEBHOOK: dict[str, Any] = {
    "id": WEBHOOK_ID,
    "type": "webhook",
    "destination": "https://example.com/hooks/texts",
} | WEBHOOK_IN


def done(data: Any) -> dict[str, Any]:
    return {"success": True, "data": data}
