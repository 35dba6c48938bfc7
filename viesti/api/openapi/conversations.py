"""The operations on conversations and groups."""

from __future__ import annotations

from viesti.api.openapi.build import (
    ACCOUNT,
    Paths,
    after,
    answer,
    in_path,
    listed,
    operation,
    parameter,
    ref,
)
from viesti.api.openapi.examples import AT, CONVERSATION, GROUP, done

_TAG = "conversations"
_ONE = [parameter("accountId"), in_path("conversationId", "the conversation's id")]

PATHS: Paths = {
    f"{ACCOUNT}/conversations": {
        "get": listed(
            "conversations.fetchAll",
            _TAG,
            "List conversations",
            "ConversationsResponse",
            CONVERSATION,
            description="Newest first. A conversation is the thread of one sender and one contact.",
            parameters=[after()],
        ),
    },
    f"{ACCOUNT}/conversations/{{conversationId}}": {
        "get": operation(
            "conversations.fetch",
            _TAG,
            "Fetch a conversation",
            parameters=_ONE,
            answers={"200": answer(ref("ConversationResponse"), done(CONVERSATION))},
            refusals=["CONV-001"],
        ),
    },
    f"{ACCOUNT}/conversations/{{conversationId}}/close": {
        "put": operation(
            "conversations.close",
            _TAG,
            "Close a conversation",
            description="The next text in or out starts a new one. A body is not read.",
            parameters=_ONE,
            answers={
                "200": answer(
                    ref("ConversationResponse"), done(CONVERSATION | {"closed": AT["at"]})
                )
            },
            refusals=["CONV-001"],
        ),
    },
    f"{ACCOUNT}/groups": {
        "get": listed(
            "groups.fetchAll",
            "groups",
            "List groups",
            "GroupsResponse",
            GROUP | {"isDefault": True, "tags": [], "users": [], "phoneNumbers": []},
            description="`limit` may go up to 500 here.",
        ),
    },
}
