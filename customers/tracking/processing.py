"""Taking messages: many at once, from many sources, in one transaction and a few statements for all of them.

The ids come first, so that all that follows finds its customer; then what is told of customers, orders and events.
A message that was taken before is left alone. Facts and segments follow from the queues that ingestion fills.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.db.execution import batches
from core.wakeup import notify_on_commit
from customers.identity import resolution, tombstones
from customers.identity.assertions import Assertion
from customers.identity.lookup import ANONYMOUS_ID, CUSTOMER_ID
from customers.identity.resolution import Resolution
from customers.identity.unsigned_links import UnsignedAssertion
from customers.ingestion import drafts, writer
from customers.ingestion.attribute_limit import TOO_MANY_ATTRIBUTES
from customers.ingestion.results import Origin
from customers.models import Event, OrderMessage, Source
from customers.rows.cells import InvalidRow
from customers.rows.kinds import EVENTS
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


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as it came in, with what its request says of it; ``request`` tells requests apart."""

    source: Source
    received_at: datetime
    call: str
    body: Any
    sent_at: Any = None
    user_agent: str = ""
    request: int = 0


@dataclass(frozen=True, slots=True)
class MessageProblem:
    """A message of which something could not be taken, and the reason."""

    received: ReceivedMessage
    reason: str


def process_messages(received: Sequence[ReceivedMessage], now: datetime) -> list[MessageProblem]:
    """Take messages, in the transaction of the caller, who lets nobody else take any meanwhile."""
    tombstones.lock_shared()  # before any row is locked: an erasure waits for us, or we for it
    shop = shop_settings()
    complaints: list[MessageProblem] = []
    meanings: list[tuple[ReceivedMessage, Interpretation]] = []
    new = list(_new_messages(list(_parse_messages(received, shop, complaints))))
    for one, message in new:
        try:
            meant = interpretation.interpret(authorize(one.source, message), shop)
        except InvalidRow as error:
            complaints.append(MessageProblem(one, str(error)))
        except RecursionError:
            complaints.append(MessageProblem(one, messages.TOO_DEEP))
        else:
            meanings.append((one, meant))
    crowd = set(new_visitor_limit.messages_over_limit([(one.request, meant) for one, meant in meanings]))
    complaints += [
        MessageProblem(meanings[place][0], new_visitor_limit.TOO_MANY_VISITORS) for place in sorted(crowd)
    ]
    meanings = [one for place, one in enumerate(meanings) if place not in crowd]
    _write_interpretations([meant for _, meant in meanings], now)
    complaints += [
        MessageProblem(one, f"{reason} (the rest was taken)")
        for one, meant in meanings
        for reason in meant.complaints
    ]
    return complaints


def _parse_messages(
    received: Sequence[ReceivedMessage], shop: ShopSettings, complaints: list[MessageProblem]
) -> Iterator[tuple[ReceivedMessage, TrackedMessage]]:
    """Give the messages that can be read, but for those of bots."""
    of_bots: Counter[int] = Counter()
    for one in received:
        try:
            messages.check_size(one.body)
            message = messages.parse_message(one.body, one.call, one.received_at, one.sent_at, shop)
        except InvalidRow as error:
            complaints.append(MessageProblem(one, str(error)))
            continue
        user_agent = message.context.get("userAgent")
        if bots.is_bot(user_agent if isinstance(user_agent, str) else one.user_agent):
            of_bots[one.source.pk] += 1
        else:
            yield one, message
    for source, count in of_bots.items():
        sources.count_bots(source, count)


def _new_messages(
    read: Sequence[tuple[ReceivedMessage, TrackedMessage]],
) -> Iterator[tuple[ReceivedMessage, TrackedMessage]]:
    """Leave out what was taken before, and the past of the erased: of messages with the same id the first counts.

    The ids of browsers are apart from those of servers: what everybody can send keeps nothing away.
    """
    taken = {
        stamp
        for part in batches([message.message_id for _, message in read])
        for stamp in Event.objects.filter(message_id__in=part).values_list("message_id", "is_from_browser")
    }
    known = tombstones.find_erased(id for one, message in read for id in _tombstone_ids(one.source, message))
    for one, message in read:
        stamp = message.message_id, one.source.is_browser
        if stamp in taken or tombstones.belongs_to_erased(
            _tombstone_ids(one.source, message), message.at, known
        ):
            continue
        taken.add(stamp)
        yield one, message


def _tombstone_ids(source: Source, message: TrackedMessage) -> list[tombstones.IdKey]:
    return [
        (tombstones.BROWSER_MESSAGE_ID if source.is_browser else tombstones.MESSAGE_ID, message.message_id),
        (CUSTOMER_ID, message.user_id),
        (ANONYMOUS_ID, message.anonymous_id),
    ]


def _write_interpretations(meanings: Sequence[Interpretation], now: datetime) -> None:
    if any(meant.order or meant.claims or meant.claimed for meant in meanings):
        drafts.lock_exclusive()  # before any row is locked: orders of files wait for us, or we for them
    said = [
        Assertion(one, other, meant.message.at, meant.message.message_id)
        for meant in meanings
        for one, other in meant.claims
    ]
    claimed = [
        UnsignedAssertion(
            meant.message.anonymous_id,
            meant.claimed,
            meant.message.at,
            meant.message.message_id,
            meant.source,
        )
        for meant in meanings
        if meant.claimed
    ]
    named = {meant.message.user_id for meant in meanings if meant.message.user_id}
    described = [meant for meant in meanings if meant.told or meant.stated or meant.order]
    united = resolution.resolve([meant.whose for meant in described], said, now, claimed=claimed, named=named)
    _update_profiles(described, united, now)
    _record_orders(described, united, now)
    for origin in (Origin.SERVER, Origin.BROWSER):
        by_server = origin is Origin.SERVER
        events = [meant.event for meant in meanings if meant.event and meant.by_server == by_server]
        if events:
            writer.ingest(EVENTS, enumerate(events), now, origin=origin, notify=False)
    notify_on_commit(records_changed)


def _update_profiles(meanings: Sequence[Interpretation], united: Resolution, now: datetime) -> None:
    tellings = [
        TraitUpdate(
            united.places[meant.whose].identity,
            meant.told,
            meant.message.at,
            meant.message.message_id,
            meant.by_server,
        )
        for meant in meanings
        if meant.told
    ]
    if tellings or united.moved:
        crowded = profiles.apply_trait_updates(tellings, united.moved, now)
        for meant in meanings:
            if meant.told and (key := united.places[meant.whose].identity) in crowded:
                meant.complaints.append(TOO_MANY_ATTRIBUTES)
                crowded.discard(key)
        consent_statements.record_consent(
            [(united.places[meant.whose].identity, meant.stated) for meant in meanings if meant.stated],
            [one.identity for one in tellings if "email" in one.told and not one.by_server],
            united.moved,
            now,
        )


def _record_orders(meanings: Sequence[Interpretation], united: Resolution, now: datetime) -> None:
    notes = [
        OrderMessage(
            message_id=meant.message.message_id,
            is_from_browser=not meant.by_server,
            order_id=meant.order.order_id,
            identity_id=united.places[meant.whose].identity,
            at=meant.message.at,
            action=meant.order.action,
            is_trusted=meant.order.is_trusted,
            is_signed=meant.order.is_signed,
            told=meant.order.told,
        )
        for meant in meanings
        if meant.order
    ]
    if notes or united.moved:
        order_messages.record_order_messages(notes, united.moved, now)
