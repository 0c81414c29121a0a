"""What a message means: the identity links, profile data, order report and event that it contains.

The functions are pure: they do not read the database.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from core.values.phone_numbers import to_e164
from core.values.text_cleaning import to_nfc
from customers.identity.graph import EMAIL, PHONE, ExternalId
from customers.identity.lookup import ANONYMOUS_ID, CUSTOMER_ID
from customers.rows.cells import InvalidRow, read_text, utc_text_of
from customers.rows.event_properties import read_decoded_properties
from customers.rows.parsing import Record
from customers.rows.settings import ShopSettings

from . import consent_statements, traits
from .consent_statements import StatedConsent
from .messages import TrackedMessage, check_text
from .order_reports import Action, OrderReport, interpret_order
from .permissions import AuthorizedMessage

_RENAMED_EVENTS: Final = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Viewed Cart": "Cart Viewed",
    "Started Order": "Checkout Started",
    "Completed Order": "Order Completed",
    "Updated Order": "Order Updated",
    "Refunded Order": "Order Refunded",
    "Cancelled Order": "Order Cancelled",
    "Order Canceled": "Order Cancelled",
}
_ORDER_ACTIONS: Final = {
    "Order Completed": Action.COMPLETED,
    "Order Updated": Action.UPDATED,
    "Order Refunded": Action.REFUNDED,
    "Order Cancelled": Action.CANCELLED,
}
_EVENT_NAMES: Final = {"page": "Page Viewed", "screen": "Screen Viewed", "group": "Group Joined"}
_CAMPAIGN_FIELDS: Final = {
    "name": "campaign",
    "source": "source",
    "medium": "medium",
    "term": "term",
    "content": "content",
}

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False
).encode  # created once, since it is called for each message


@dataclass(slots=True)
class Interpretation:
    """What a message means. ``event`` is a record to ingest; ``problems`` name the values that are invalid.

    ``unsigned_id`` is the customer id that a browser names without a signature.
    """

    message: TrackedMessage
    identity: ExternalId
    by_server: bool
    source_id: int
    unsigned_id: str = ""
    identity_links: list[tuple[ExternalId, ExternalId]] = field(default_factory=list)
    traits: dict[str, str] = field(default_factory=dict)
    consent: StatedConsent | None = None
    order: OrderReport | None = None
    event: Record | None = None
    problems: list[str] = field(default_factory=list)


def interpret(authorized: AuthorizedMessage, shop: ShopSettings) -> Interpretation:
    """Return what a message means. Raises InvalidRow if nothing of it can be processed."""
    message = authorized.message
    visitor, customer = (
        ExternalId(ANONYMOUS_ID, message.anonymous_id),
        ExternalId(CUSTOMER_ID, message.user_id),
    )
    result = Interpretation(
        message,
        customer if message.user_id else visitor,
        authorized.by_server,
        authorized.source_id,
        authorized.unsigned_id,
        problems=[*message.problems],
    )
    if message.user_id and message.anonymous_id:
        result.identity_links.append((visitor, customer))
    result.traits = traits.context_traits(message)
    match message.type:
        case "identify":
            _interpret_identify(result, shop)
        case "alias":
            _interpret_alias(result, authorized)
        case _:
            _interpret_event(result, authorized, shop)
    return result


def _interpret_identify(result: Interpretation, shop: ShopSettings) -> None:
    identified, problems = traits.parse_traits(result.message, shop)
    result.problems += problems
    result.traits |= identified
    result.consent = consent_statements.pop_consent(
        result.traits, result.message.at, by_server=result.by_server
    )
    if result.by_server:
        if email := identified.get("email"):
            result.identity_links.append((result.identity, ExternalId(EMAIL, email)))
        # Only a number in international form identifies one person.
        if (phone := identified.get("phone")) and (number := to_e164(phone)):
            result.identity_links.append((result.identity, ExternalId(PHONE, number)))


def _interpret_alias(result: Interpretation, authorized: AuthorizedMessage) -> None:
    message = result.message
    result.traits["first_seen"] = message.at.isoformat()
    previous = to_nfc(str(message.body["previousId"]).strip())
    # A browser may name its own id; only a trusted source may say whose the ids of others are.
    may_say = authorized.by_server or authorized.is_signed or previous == message.anonymous_id
    if may_say and message.user_id and previous != message.user_id:
        result.identity_links.append(
            (ExternalId(ANONYMOUS_ID, previous), ExternalId(CUSTOMER_ID, message.user_id))
        )


def _interpret_event(result: Interpretation, authorized: AuthorizedMessage, shop: ShopSettings) -> None:
    message = result.message
    name = _EVENT_NAMES.get(message.type) or str(message.body["event"]).strip()
    name = _RENAMED_EVENTS.get(name, name)
    properties = _properties(message)
    try:
        written = _encode(properties)
    except ValueError:
        raise InvalidRow("properties: a number is out of range") from None
    check_text(written, "properties")
    if message.type == "track" and (action := _ORDER_ACTIONS.get(name)):
        result.order = interpret_order(action, properties, authorized, shop, result.problems)
    result.event = (
        message.message_id,
        message.user_id or None,
        None if message.user_id else message.anonymous_id,
        read_text(name, "event"),
        utc_text_of(message.at),
        *read_decoded_properties(properties, written),
    )


def _properties(message: TrackedMessage) -> dict[str, Any]:
    body = message.body
    given = body.get("traits" if message.type == "group" else "properties")
    if not given and isinstance(given, list):
        given = None  # PHP writes an empty object as an empty list
    if not isinstance(given, dict | None):
        raise InvalidRow("properties: expected a JSON object")
    properties = {**(given or {})}
    for name in ("name", "category") if message.type in ("page", "screen") else ():
        if body.get(name) is not None:
            properties.setdefault(name, body[name])
    if message.type == "group":
        properties["group_id"] = body.get("groupId")
    campaign = message.context.get("campaign")
    for name, value in campaign.items() if isinstance(campaign, dict) else ():
        if isinstance(value, str) and value and name in _CAMPAIGN_FIELDS:
            properties.setdefault(f"utm_{_CAMPAIGN_FIELDS[name]}", value)
    return properties
