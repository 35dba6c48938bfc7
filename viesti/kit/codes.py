"""The one catalogue of error codes: HTTP status, meaning, and what to do about it.

``api/errors.py`` answers by it, contacts and messages carry its descriptions, and the
documentation prints it. The codes CONT-, CONV-, ACCT-, INT- and MSG- that the published service
has keep their meanings (api-current.md section 7); the rest are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

EMBEDDED = 200


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """``status`` is ``EMBEDDED`` for codes that stand only inside a contact or message."""

    code: str
    status: int
    meaning: str
    action: str


_TABLE: tuple[tuple[str, int, str, str], ...] = (
    # Any request.
    ("GEN-400", 400, "The request cannot be read as written.", "Correct what the message names."),
    ("GEN-401", 401, "No access token, or one that is wrong or expired.", "Ask for a new token."),
    ("GEN-403", 403, "The token does not allow this.", "Use credentials that may do it."),
    ("GEN-404", 404, "There is nothing at this address.", "Check the path and the ids in it."),
    ("GEN-405", 405, "The address does not take this method.", "See the Allow header."),
    ("GEN-409", 409, "The present state does not allow this.", "Fetch the resource and decide."),
    ("GEN-413", 413, "The request is larger than one call may be.", "Split it into several calls."),
    ("GEN-415", 415, "The body is of a kind that is not read here.", "Send application/json."),
    ("GEN-422", 422, "The Idempotency-Key was used with another body.", "Use a fresh key."),
    ("GEN-429", 429, "Too many requests.", "Wait as long as Retry-After says."),
    ("GEN-500", 500, "Something failed on our side.", "Retry; report the X-Request-Id."),
    ("GEN-503", 503, "A part that is needed does not answer now.", "Retry after a moment."),
    # Contacts.
    ("CONT-001", 400, "The mobile number is not valid.", "Correct the number or its country."),
    ("CONT-002", 404, "There is no such contact.", "Check the contact's id."),
    ("CONT-003", 400, "A field of the contact cannot be stored.", "Shorten or correct the field."),
    ("CONT-004", 409, "Another contact has this number.", "Change that contact, or merge them."),
    (
        "CONT-010",
        200,
        "The contact opted out of further messages.",
        "Only the handset can undo it.",
    ),
    # Conversations.
    ("CONV-001", 404, "There is no such conversation.", "Check the conversation's id."),
    # Accounts.
    ("ACCT-006", 402, "The account has not enough credit.", "Top the account up."),
    ("ACCT-008", 404, "There is no such account for this token.", "Check the account's id."),
    ("ACCT-013", 400, "The account's name cannot be used.", "Give 1 to 200 characters."),
    # Carriers.
    ("INT-002", 200, "No carrier serves the destination country.", "Add a carrier that does."),
    # Messages.
    ("MSG-001", 200, "No sender number is available.", "Add a sender to the account."),
    ("MSG-002", 404, "There is no such message.", "Check the message's id."),
    ("MSG-006", 200, "The carrier reported an unknown error.", "Send again later."),
    ("MSG-007", 200, "The text takes more than 10 segments.", "Shorten it."),
    ("MSG-008", 200, "The carrier took the text for spam.", "Change the wording."),
    ("MSG-009", 200, "The carrier forbids this text.", "Change the wording."),
    (
        "MSG-010",
        400,
        "The request names no recipients.",
        "Give contacts, conversations or filters.",
    ),
    ("MSG-011", 400, "The message is empty.", "Give a template or media."),
    ("MSG-018", 200, "No route leads to the destination.", "Check the number."),
    ("MSG-019", 200, "The handset could not be reached.", "Check the number; try again later."),
    ("MSG-020", 200, "The number is a landline.", "Use a mobile number."),
    ("MSG-023", 200, "The carrier rejected the text.", "Change the wording or the sender."),
    ("MSG-024", 200, "The same text went to this contact within 30 minutes.", "Wait or change it."),
    ("MSG-025", 200, "The carrier reported an unknown error.", "Send again later."),
    ("MSG-026", 200, "No outcome was known in time.", "Send again if it still matters."),
    ("MSG-028", 200, "The carrier throttles; the text is retried.", "Nothing."),
    ("MSG-029", 200, "The sender is over its daily limit.", "Wait, or use another sender."),
    ("MSG-033", 200, "The carrier's service failed.", "Send again later."),
    ("MSG-036", 200, "Texts from this toll-free number are blocked.", "Have the number verified."),
    ("MSG-037", 200, "The number belongs to no carrier.", "Check the number."),
    ("MSG-043", 200, "The text has a link by a free shortener.", "Use your own domain."),
    # Templates, webhooks, jobs.
    ("TMPL-001", 400, "The template cannot be parsed.", "See the line and column in the message."),
    ("TMPL-002", 400, "The template is larger or deeper than allowed.", "Make it simpler."),
    (
        "TMPL-003",
        400,
        "The merged text is longer than allowed.",
        "Shorten the template or its data.",
    ),
    ("WEBH-001", 404, "There is no such webhook.", "Check the URL or id, percent-encoded."),
    (
        "WEBH-002",
        400,
        "The webhook's URL cannot be used.",
        "Give an http or https URL that is public.",
    ),
    ("WEBH-003", 400, "An event type is not known.", "Use the event types of the documentation."),
    ("WEBH-004", 409, "The account has as many webhooks as it may.", "Remove one first."),
    ("WEBH-004", 409, "The account has as many webhooks as it may.", "Remove one first."),
    ("JOB-001", 404, "There is no such job.", "Check the job's id."),
)

CATALOGUE: dict[str, CodeInfo] = {row[0]: CodeInfo(*row) for row in _TABLE}


def describe(code: str) -> str:
    """The meaning of ``code``; a code that is not in the catalogue describes itself."""
    info = CATALOGUE.get(code)
    return info.meaning if info else code


def as_markdown() -> str:
    """The page ``docs/error-codes.md``; a test holds it equal to the catalogue."""
    lines = [
        "# Error codes",
        "",
        'A refused request is answered `{"success": false, "error": {"code", "message"}}` with the'
        " HTTP status below.",
        'Inside a contact or message the error is `{"code", "description"}`; codes that stand only'
        " there have no status.",
        "",
        "| Code | HTTP | Meaning | What to do |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {info.code} | {info.status if info.status != EMBEDDED else ''} |"
        f" {info.meaning} | {info.action} |"
        for info in CATALOGUE.values()
    ]
    return "\n".join(lines) + "\n"
