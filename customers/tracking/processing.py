"""Processing messages of many sources in one transaction, with a few statements for all of them.

Ids are resolved first, so that the later steps find their customers; then profile data, orders and events are written.
A message that was processed before is skipped. Ingestion queues the customers whose facts change.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from core.values import email_addresses
from core.wakeup import notify_on_commit
from customers.identity import drain_locks, resolution, tombstones
from customers.identity.assertions import Assertion
from customers.identity.drain_locks import IdKey, NamedThings
from customers.identity.lookup import ANONYMOUS_ID, CUSTOMER_ID
from customers.identity.resolution import Resolution
from customers.identity.unsigned_links import UnsignedAssertion
from customers.ingestion import drafts, record_keys, writer
from customers.ingestion.attribute_limit import TOO_MANY_ATTRIBUTES
from customers.ingestion.results import Origin
from customers.models import OrderMessage, RecordKey, Source
from customers.rows.cells import InvalidRow
from customers.rows.settings import ShopSettings, shop_settings
from customers.signals import records_changed

from . import (
    bots,
    consent_statements,
    interpretation,
    messages,
    new_visitor_limit,
    order_messages,
    profiles,
    sources,
)
from .interpretation import Interpretation
from .messages import TrackedMessage
from .permissions import authorize
from .profiles import TraitUpdate


class ReceivedMessage(NamedTuple):
    """A message as it was received, with the values of its request; ``request`` is the id of the request's row."""

    source: Source
    received_at: datetime
    call: str
    body: Any
    sent_at: Any = None
    user_agent: str = ""
    request: int = 0


@dataclass(frozen=True, slots=True)
class MessageProblem:
    """A message that is invalid, completely or in part, and the reason."""

    received: ReceivedMessage
    reason: str


def process_messages(received: Sequence[ReceivedMessage], at: datetime) -> list[MessageProblem]:
    """Process messages in the caller's transaction, which ``drain_locks.begin`` has begun.

    Return the problems of invalid messages, which do not affect the others.
    """
    shop = shop_settings()
    problems: list[MessageProblem] = []
    results: list[tuple[ReceivedMessage, Interpretation]] = []
    bot_messages: Counter[int] = Counter()
    new = list(_new_messages(list(_parse_messages(received, shop, problems, bot_messages))))
    for original, message in new:
        try:
            result = interpretation.interpret(authorize(original.source, message), shop)
        except InvalidRow as error:
            problems.append(MessageProblem(original, str(error)))
        except RecursionError:
            problems.append(MessageProblem(original, messages.TOO_DEEP))
        else:
            results.append((original, result))
    over_limit = set(
        new_visitor_limit.messages_over_limit([(original.request, result) for original, result in results])
    )
    problems += [
        MessageProblem(results[index][0], new_visitor_limit.TOO_MANY_VISITORS) for index in sorted(over_limit)
    ]
    results = [pair for index, pair in enumerate(results) if index not in over_limit]
    _write_interpretations([result for _, result in results], at)
    for source, count in sorted(bot_messages.items()):  # last, because the row stays locked
        sources.count_bots(source, count)
    problems += [
        MessageProblem(original, f"{reason} (the rest was kept)")
        for original, result in results
        for reason in result.problems
    ]
    return problems


def _parse_messages(
    received: Sequence[ReceivedMessage],
    shop: ShopSettings,
    problems: list[MessageProblem],
    bot_messages: Counter[int],
) -> Iterator[tuple[ReceivedMessage, TrackedMessage]]:
    """Return the valid messages, without those of bots, which are counted by source."""
    for original in received:
        try:
            messages.check_size(original.body)
            message = messages.parse_message(
                original.body, original.call, original.received_at, original.sent_at, shop
            )
        except InvalidRow as error:
            problems.append(MessageProblem(original, str(error)))
            continue
        user_agent = message.context.get("userAgent")
        if bots.is_bot(user_agent if isinstance(user_agent, str) else original.user_agent):
            bot_messages[original.source.pk] += 1
        else:
            yield original, message


def _new_messages(
    parsed: Sequence[tuple[ReceivedMessage, TrackedMessage]],
) -> Iterator[tuple[ReceivedMessage, TrackedMessage]]:
    """Skip messages that were processed before, and messages from before an erasure. The first of an id counts.

    Message ids of browsers are separate from those of servers, because anybody can send with the key of a browser.
    """
    processed = {
        (message_id, is_browser)
        for is_browser, kind in ((False, RecordKey.Kind.MESSAGE), (True, RecordKey.Kind.BROWSER_MESSAGE))
        if (sent := [m.message_id for original, m in parsed if original.source.is_browser == is_browser])
        for message_id in record_keys.existing_messages(sent, kind)
    }
    known = tombstones.find_erased(
        id for original, message in parsed for id in _tombstone_ids(original.source, message)
    )
    for original, message in parsed:
        key = message.message_id, original.source.is_browser
        if key in processed:
            continue
        if known and tombstones.belongs_to_erased(
            _tombstone_ids(original.source, message), message.at, known
        ):
            continue
        processed.add(key)
        yield original, message


def _tombstone_ids(source: Source, message: TrackedMessage) -> list[tombstones.IdKey]:
    return [
        (tombstones.BROWSER_MESSAGE_ID if source.is_browser else tombstones.MESSAGE_ID, message.message_id),
        (CUSTOMER_ID, message.user_id),
        (ANONYMOUS_ID, message.anonymous_id),
    ]


def _write_interpretations(results: Sequence[Interpretation], at: datetime) -> None:
    if any(result.order or result.identity_links or result.unsigned_id for result in results):
        drafts.lock_for_messages()  # before any row is locked: orders of files wait for us, or we for them
    keys = drain_locks.lock_named(_named_things(results))
    assertions = [
        Assertion(one, other, result.message.at, result.message.message_id)
        for result in results
        for one, other in result.identity_links
    ]
    unsigned = [
        UnsignedAssertion(
            result.message.anonymous_id,
            result.unsigned_id,
            result.message.at,
            result.message.message_id,
            result.source_id,
        )
        for result in results
        if result.unsigned_id
    ]
    named = {result.message.user_id for result in results if result.message.user_id}
    described = [result for result in results if result.traits or result.consent or result.order]
    resolved = resolution.resolve(
        {
            result.identity
            for result in results
            if result.event or result.traits or result.consent or result.order
        },
        assertions,
        at,
        unsigned=unsigned,
        named=named,
    )
    _update_profiles(described, resolved, at)
    _record_orders(described, resolved, at)
    for origin in (Origin.SERVER, Origin.BROWSER):
        by_server = origin is Origin.SERVER
        events = [
            (*result.event, *_owner(result, resolved))
            for result in results
            if result.event and result.by_server == by_server
        ]
        if events:
            writer.ingest_new_events(events, at, origin=origin)
    drain_locks.delete_keys(keys)
    notify_on_commit(records_changed)


def _named_things(results: Sequence[Interpretation]) -> NamedThings:
    """Return what messages name. Those that link or describe an id concern the whole person."""
    ids: dict[IdKey, bool] = {}
    for result in results:
        named: set[IdKey] = {result.identity, *(one for link in result.identity_links for one in link)}
        if result.message.user_id:
            named.add((CUSTOMER_ID, result.message.user_id))
        if result.unsigned_id:
            named |= {(ANONYMOUS_ID, result.message.anonymous_id), (CUSTOMER_ID, result.unsigned_id)}
        is_whole = bool(
            result.identity_links or result.unsigned_id or result.traits or result.consent or result.order
        )
        for one in named:
            ids[one] = is_whole or ids.get(one, False)
    return NamedThings(
        ids,
        addresses=[
            email_addresses.fold_email(email) for result in results if (email := result.traits.get("email"))
        ],
        orders=[result.order.order_id for result in results if result.order],
        moves=any(result.identity_links or result.unsigned_id for result in results),
        consent=any(result.consent or "email" in result.traits for result in results),
    )


def _owner(result: Interpretation, resolved: Resolution) -> tuple[int, int | None]:
    """Return the primary keys of the customer, and of the visitor's id if the message names no customer id."""
    known = resolved.known_ids[result.identity]
    return known.customer, known.identity if result.identity.kind == ANONYMOUS_ID else None


def _update_profiles(results: Sequence[Interpretation], resolved: Resolution, at: datetime) -> None:
    updates = [
        TraitUpdate(
            resolved.known_ids[result.identity].identity,
            result.traits,
            result.message.at,
            result.message.message_id,
            result.by_server,
        )
        for result in results
        if result.traits
    ]
    if updates or resolved.moved:
        over_limit = profiles.apply_trait_updates(updates, resolved.moved, at)
        for result in results:
            if result.traits and (key := resolved.known_ids[result.identity].identity) in over_limit:
                result.problems.append(TOO_MANY_ATTRIBUTES)
                over_limit.discard(key)
        consent_statements.record_consent(
            [
                (resolved.known_ids[result.identity].identity, result.consent)
                for result in results
                if result.consent
            ],
            [update.identity for update in updates if "email" in update.values and not update.by_server],
            resolved.moved,
            at,
        )


def _record_orders(results: Sequence[Interpretation], resolved: Resolution, at: datetime) -> None:
    order_reports = [
        OrderMessage(
            message_id=result.message.message_id,
            is_from_browser=not result.by_server,
            order_id=result.order.order_id,
            identity_id=resolved.known_ids[result.identity].identity,
            at=result.message.at,
            action=result.order.action,
            is_trusted=result.order.is_trusted,
            is_signed=result.order.is_signed,
            values=result.order.values,
        )
        for result in results
        if result.order
    ]
    if order_reports or resolved.moved:
        order_messages.record_order_messages(order_reports, resolved.moved, at)
