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
    (
        "MSG-100",
        409,
        "The text has begun to leave or has ended.",
        "It cannot be canceled any more.",
    ),
    # Templates, webhooks, jobs.
    ("TMPL-001", 400, "The template cannot be parsed.", "See the line and column in the message."),
    ("TMPL-002", 400, "The template is larger or deeper than allowed.", "Make it simpler."),
    (
        "TMPL-003",
        400,
        "The merged text is longer than allowed.",
        "Shorten the template or its data.",
    ),
    ("TMPL-004", 404, "There is no such template.", "Check the template's id."),
    ("TMPL-005", 400, "A field of the template cannot be stored.", "Correct what is named."),
    ("TMPL-006", 409, "The account has as many templates as it may.", "Delete one first."),
    # Groups.
    ("GRP-001", 404, "There is no such group.", "Check the group's id; see GET groups."),
    ("WEBH-001", 404, "There is no such webhook.", "Check the URL or id, percent-encoded."),
    (
        "WEBH-002",
        400,
        "The webhook's URL cannot be used.",
        "Give an http or https URL that is public.",
    ),
    ("WEBH-003", 400, "An event type is not known.", "Use the event types of the documentation."),
    ("WEBH-004", 409, "The account has as many webhooks as it may.", "Remove one first."),
    # Campaigns.
    ("CAMP-001", 404, "There is no such campaign.", "Check the campaign's id."),
    ("CAMP-002", 400, "The trigger is not one that is offered.", "Use M, S or FU."),
    ("CAMP-003", 400, "The schedule cannot be used.", "Correct what the message names."),
    ("CAMP-004", 409, "The campaign lacks recipients or a text.", "Complete it, then run it."),
    (
        "CAMP-005",
        409,
        "The campaign's state does not allow this.",
        "Wait for its run, or resume or cancel it.",
    ),
    ("CAMP-006", 400, "The report cannot be ordered so.", "Give a URL that is public."),
    ("CAMP-007", 400, "The campaign's file cannot be used.", "Correct what the message names."),
    ("CAMP-008", 400, "A field of the campaign cannot be stored.", "Shorten or correct it."),
    ("FILE-001", 404, "There is no such file.", "Check the link."),
    ("FILE-002", 415, "Files of this kind are not shared.", "Share an image, audio, video or PDF."),
    ("FILE-003", 413, "The file is larger than allowed.", "Make it smaller."),
    ("FILE-004", 410, "The link to the file has expired.", "Share the file again."),
    ("FILE-005", 400, "The request holds no file.", "Send the file as the part named media."),
    ("LIST-001", 404, "There is no such list.", "Check the list's id."),
    ("LIST-002", 409, "Another list has this name.", "Choose another name."),
    ("LIST-003", 400, "The list's keyword cannot be used.", "Choose a word of its own."),
    ("LIST-004", 409, "Another list has this keyword.", "Choose another keyword."),
    ("JOB-001", 404, "There is no such job.", "Check the job's id."),
    ("JOB-002", 409, "The job was canceled.", "Send again; nothing resumes a canceled job."),
    ("IMP-001", 400, "The file cannot be read.", "Correct what the message names."),
    ("IMP-002", 400, "No column holds mobile numbers.", "Name the columns in the first row."),
    ("IMP-003", 409, "Too many files wait to be worked off.", "Wait until one is done."),
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
