"""Groups as clients see them: pure functions from rows to the wire's shape."""

from __future__ import annotations

from typing import Any

from viesti.domain.contacts.views import mobile_view, moment_view
from viesti.domain.groups.models import Group, GroupName, GroupSender
from viesti.domain.users.models import Member
from viesti.kit.clock import iso


def group_name_view(group: GroupName) -> dict[str, str]:
    """A group inside a message, a conversation or a number."""
    return {"id": str(group.id), "name": group.name}


def group_view(group: Group) -> dict[str, Any]:
    """The schema ``Group``; an account's numbers stand in it twice, as clients read either."""
    return {
        **group_name_view(group.called),
        "tags": group.tags,
        "isDefault": group.is_default,
        "useSharedPool": group.use_shared_pool,
        "users": [user_view(user) for user in group.users],
        "phoneNumbers": [_number_view(sender, group) for sender in group.senders],
        "senders": [_sender_view(sender, group) for sender in group.senders],
        "notifications": [],
        "created": moment_view(group.created_at),
        "updated": moment_view(group.updated_at),
    }


def user_view(user: Member) -> dict[str, Any]:
    """The schema ``User``; what is not known is left out."""
    view: dict[str, Any] = {
        "id": str(user.id),
        "firstName": user.first_name,
        "lastName": user.last_name,
        "email": user.email,
        "role": user.role.label,
    }
    if user.mobile:
        view["mobile"] = mobile_view(user.mobile, user.mobile_country)
    if user.terms_accepted_at is not None:
        view["tacAccepted"] = iso(user.terms_accepted_at)
    return view


def _number_view(sender: GroupSender, group: Group) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": str(sender.id),
        "status": "active",
        "number": sender.number,
        "type": sender.type,
        "provider": sender.carrier,
        "verified": True,
        "groups": [group_name_view(group.called)],
        "channels": {"sms": {"active": True}},
    }
    if sender.country:
        view["country"] = sender.country
    return view


def _sender_view(sender: GroupSender, group: Group) -> dict[str, Any]:
    return {
        "id": str(sender.id),
        "type": "phonenumber",
        "subType": sender.type,
        "status": "active",
        "identifier": sender.number,
        "channels": {"sms": {"active": True}},
        "groups": [group_name_view(group.called)],
    }
