"""The wording that consent asks for; used by the send, by replies to keywords and by lists.

Sources: the product facts on opt-in, opt-out and HELP (carrier rules of the US market): brand
first, what happened, how to undo it, message frequency and rates.
"""

from __future__ import annotations


def first_message_notice(name: str, wording: str | None) -> str:
    """What is appended to the first text to a contact that has not opted in."""
    if wording:
        return wording.replace("{account}", name)
    return (
        f"Welcome to {name}. Msg & data rates may apply. Msg frequency varies."
        " Reply HELP for help, STOP to opt out."
    )


def opted_out_confirmation(name: str) -> str:
    return (
        f"{name}: You are unsubscribed and will get no more messages. Reply START to resubscribe."
    )


def opted_in_confirmation(name: str) -> str:
    return (
        f"{name}: You are resubscribed. Msg & data rates may apply."
        " Reply HELP for help, STOP to opt out."
    )


def help_reply(name: str, contact: str) -> str:
    """``contact`` is how to reach the business; empty if the account has not said."""
    reach = f" Contact us at {contact}." if contact else ""
    return (
        f"{name}:{reach} Msg & data rates may apply. Msg frequency varies. Reply STOP to opt out."
    )


def list_prompt(name: str, list_name: str) -> str:
    """What a list with double opt-in asks if it has no prompt of its own."""
    return (
        f"{name}: Reply YES to join {list_name}. Msg & data rates may apply."
        " Msg frequency varies. Reply HELP for help, STOP to opt out."
    )
