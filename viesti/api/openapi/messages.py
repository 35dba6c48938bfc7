"""The operations on messages and on the jobs that sends become."""

from __future__ import annotations

from viesti.api.openapi.build import (
    ACCOUNT,
    IDEMPOTENCY_KEY,
    Paths,
    after,
    answer,
    body,
    in_path,
    listed,
    operation,
    parameter,
    query,
    ref,
    text,
)
from viesti.api.openapi.examples import CONTACT_IN, JOB, JOB_ID, MESSAGE, done

_TAG = "messages"
_ACCOUNT_ID = parameter("accountId")
_ONE = [_ACCOUNT_ID, in_path("messageId", "the message's id")]
_SENT = {
    "jobId": JOB_ID,
    "requested": 1,
    "valid": 1,
    "invalid": [],
    "queued": 1,
    "messages": [MESSAGE],
    "estimatedPrice": 0.032,
}
# What a list of jobs does not say.
_COUNTED = ("queued", "sent", "delivered", "failed")
_CANCELED = {**JOB, "status": "canceled", "queued": 0, "failed": 1}

PATHS: Paths = {
    f"{ACCOUNT}/messages": {
        "get": listed(
            "messages.fetchAll",
            _TAG,
            "List messages",
            "MessagesResponse",
            MESSAGE,
            description="Newest first, texts in and out.",
            parameters=[
                parameter("contactIdFilter"),
                parameter("conversationIdFilter"),
                query("jobId", text(), "of this send only"),
                query("status", text(), "in this state only"),
                after(),
            ],
        ),
        "post": operation(
            "messages.send",
            _TAG,
            "Send a text to one or many",
            description=(
                "Up to 10,000 contacts and conversations in one call, each with a text of its own"
                " by the template's placeholders; `filters` may match any number. What is"
                " answered with 200 is stored. Whoever cannot be texted stands in `invalid`."
            ),
            parameters=[
                _ACCOUNT_ID,
                IDEMPOTENCY_KEY,
            ],
            request=body(
                ref("SendMessagesRequest"),
                {"contacts": [CONTACT_IN], "template": MESSAGE["template"]},
            ),
            answers={"200": answer(ref("SendMessagesResponse"), done(_SENT))},
            refusals=[
                "MSG-010",
                "MSG-011",
                "TMPL-001",
                "TMPL-002",
                "TMPL-003",
                "GEN-409",
                "GEN-413",
                "GEN-415",
                "GEN-422",
            ],
        ),
    },
    f"{ACCOUNT}/messages/{{messageId}}": {
        "get": operation(
            "messages.fetch",
            _TAG,
            "Fetch a message",
            parameters=_ONE,
            answers={"200": answer(ref("MessageResponse"), done(MESSAGE))},
            refusals=["MSG-002"],
        ),
        "delete": operation(
            "messages.cancel",
            _TAG,
            "Take back a text that has not begun to leave",
            description="It becomes `canceled`, its price comes back, and it is the answer.",
            parameters=_ONE,
            answers={
                "200": answer(
                    ref("MessageResponse"), done({**MESSAGE, "status": "canceled", "price": 0})
                )
            },
            refusals=["MSG-002", "MSG-100"],
        ),
    },
    f"{ACCOUNT}/jobs": {
        "get": listed(
            "jobs.fetchAll",
            _TAG,
            "List sends",
            "JobsResponse",
            {name: value for name, value in JOB.items() if name not in _COUNTED},
            description="Newest first, without the counts that need every text to be read.",
        ),
    },
    f"{ACCOUNT}/jobs/{{jobId}}": {
        "get": operation(
            "jobs.fetch",
            _TAG,
            "What became of a send",
            parameters=[_ACCOUNT_ID, in_path("jobId", "the `jobId` of a send")],
            answers={"200": answer(ref("JobResponse"), done(JOB))},
            refusals=["JOB-001"],
        ),
        "delete": operation(
            "jobs.cancel",
            _TAG,
            "Take back what of a send has not begun to leave",
            description=(
                "No further recipients are read. A large job takes a few seconds; the answer is"
                " the job as it stands."
            ),
            parameters=[_ACCOUNT_ID, in_path("jobId", "the `jobId` of a send")],
            answers={"200": answer(ref("JobResponse"), done(_CANCELED))},
            refusals=["JOB-001"],
        ),
    },
}
