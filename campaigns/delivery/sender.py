"""Claims and sends planned deliveries, and records their outcomes in ``Delivery``.

A claim is a conditional update with a lease. The worker that holds it sends the message and records the outcome soon
after. If the worker dies in between, the lease expires and the message is sent again with the same Message-ID. Only
one message of a customer is being sent at a time, so the frequency cap is exact.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet

from campaigns.channels import base
from campaigns.channels.base import (
    ChannelUnavailable,
    MessageRefused,
    NoMailbox,
    TemporaryFailure,
    Undeliverable,
)
from campaigns.channels.registry import find_channel
from campaigns.coupons.coupon_pool import NoCodeAvailable
from campaigns.messages import rendering, variable_types
from campaigns.models import Campaign, Delivery, Step
from core.backoff import Backoff
from core.db import dialect, execution, locks, transactions
from customers.consent import states
from customers.models import Customer

from . import bounces, channel_health, sending_policy
from .planning import NO_LIMIT

log = structlog.get_logger(__name__)

State = Delivery.State

DELIVERY_BATCH_SIZE: Final = 500
OUTCOME_WRITE_SECONDS: Final = 0.1  # at most this much work is repeated after a kill
DECISION_VALID_SECONDS: Final = 0.005  # how long a decision of the sending policy is used
MAX_EVALUATED: Final = 50
BACKOFF: Final = Backoff.exponential(timedelta(minutes=1), factor=2, longest=timedelta(hours=4))
UNAVAILABLE_PAUSE: Final = timedelta(minutes=1)

UNKNOWN_CHANNEL: Final = "The channel of this message is not available."
_TABLE: Final = Delivery._meta.db_table
_CAMPAIGNS: Final = Campaign._meta.db_table
_STEPS: Final = Step._meta.db_table


def send_due_deliveries(at: datetime, limit: int = DELIVERY_BATCH_SIZE) -> int:
    """Send due messages. Return how many were processed, 0 once nothing is due."""
    due, claimed = transactions.retry_on_conflict(lambda: _claim_batch(at, limit))
    _SendRun(at).send(claimed)
    return due


def _claim_batch(at: datetime, limit: int) -> tuple[int, list[Delivery]]:
    locks.acquire("deliveries")
    due = _due_delivery_ids(at, limit)
    if not due:
        return 0, []
    deliveries = list(Delivery.objects.filter(pk__in=due).prefetch_related("campaign", "step"))
    # A customer with the same address may have been added while it was unsubscribed, in another transaction.
    customers = {delivery.customer_id for delivery in deliveries}
    states.update_consent_of_customers(customers, at, source="sending")
    order = {key: place for place, key in enumerate(due)}
    return len(due), _claim(sorted(deliveries, key=lambda each: order[each.pk]), at)


def _due_delivery_ids(at: datetime, limit: int) -> list[int]:
    """Return the keys of due messages, one per address, in the order in which they came due.

    A message that is being sent belongs to another worker until its lease expires. Other messages to its customer, or
    to the same address, wait for it, unless its worker died and its campaign is paused. Messages of a stopped campaign
    are returned, to be held back. Messages of a paused channel wait.
    """
    last: Sequence[Any] | None = None
    while True:
        due = _due_page(at, limit, last)
        firsts: dict[str, int] = {}
        for key, address in _with_free_addresses(due, at):
            firsts.setdefault(address, key)
        if firsts or len(due) < limit:
            return [*firsts.values()]
        _, _, *last = due[-1]


def _due_page(at: datetime, limit: int, last: Sequence[Any] | None) -> list[execution.Row]:
    """Return due messages after the last one: key, customer, and what they are ordered by."""
    same_customer = f"SELECT * FROM {_TABLE} o WHERE o.customer_id = d.customer_id LIMIT {NO_LIMIT}"
    channels = ", ".join(f"'{health.channel}'" for health in channel_health.paused_channels())
    paused = f"JOIN {_STEPS} s ON s.id = d.step_id AND s.channel NOT IN ({channels})" if channels else ""
    moments = {"at": dialect.datetime_param(at), "expired_at": dialect.datetime_param(_expired_at(at))}
    after = {} if last is None else dict(zip(("not_before", "campaign", "key"), last, strict=True))
    is_after = (
        "AND (d.not_before, d.campaign_id, d.id) > (%(not_before)s, %(campaign)s, %(key)s)" if after else ""
    )
    return execution.fetch_all(
        # States as literals: SQLite finds a partial index by them.
        f"""SELECT d.id, d.customer_id, d.not_before, d.campaign_id, d.id
            FROM {_TABLE} d JOIN {_CAMPAIGNS} c ON c.id = d.campaign_id AND c.state <> 'paused' {paused}
            WHERE d.state IN ('planned', 'sending') AND d.not_before <= %(at)s
                AND (d.state = 'planned' OR d.claimed_at <= %(expired_at)s) {is_after}
                AND NOT EXISTS (SELECT 1 FROM ({same_customer}) AS o
                    JOIN {_CAMPAIGNS} oc ON oc.id = o.campaign_id
                    WHERE o.state = 'sending' AND o.id <> d.id
                        AND (o.claimed_at > %(expired_at)s OR oc.state <> 'paused'))
            ORDER BY d.not_before, d.campaign_id, d.id LIMIT %(limit)s""",
        {**moments, **after, "limit": limit},
    )


def _with_free_addresses(due: Sequence[execution.Row], at: datetime) -> Iterator[tuple[int, str]]:
    """Yield the messages, each with its address, to whose addresses no message to another customer is being sent."""
    addresses = dict(
        Customer.objects.filter(pk__in={row[1] for row in due}).order_by().values_list("pk", "email_folded")
    )
    others = (
        Customer.objects.filter(email_folded__in={address for address in addresses.values() if address})
        .exclude(pk__in=addresses)
        .order_by()
        .values_list("pk", "email_folded")
    )
    by_address: dict[str, list[int]] = {}
    for customer, address in (*addresses.items(), *(others if any(addresses.values()) else ())):
        by_address.setdefault(address or str(customer), []).append(customer)
    shared = [key for customers in by_address.values() if len(customers) > 1 for key in customers]
    sending = _customers_being_sent_to(shared, at) if shared else frozenset()
    for key, customer, *_ in due:
        if customer in addresses:
            address = addresses[customer] or str(customer)
            if not any(other in sending for other in by_address[address] if other != customer):
                yield key, address


def _customers_being_sent_to(customers: Collection[int], at: datetime) -> Collection[int]:
    claimed = Delivery.objects.filter(
        Q(claimed_at__gt=_expired_at(at)) | ~Q(campaign__state=Campaign.State.PAUSED),
        customer__in=customers,
        state=State.SENDING,
    )
    return frozenset(claimed.order_by().values_list("customer_id", flat=True))


def _expired_at(at: datetime) -> datetime:
    return at - timedelta(seconds=settings.CAMPAIGN_LEASE)


def _claim(due: Sequence[Delivery], at: datetime) -> list[Delivery]:
    """Claim the messages that may be sent now, in their order; hold back or postpone the others."""
    decisions = sending_policy.evaluate(due, at)
    ready = {each.pk: each for each in due if each.pk in decisions and decisions[each.pk].may_send}
    others = sorted(
        (decision.reason, decision.not_before or at, key)
        for key, decision in decisions.items()
        if not decision.may_send
    )
    for (reason, not_before), group in groupby(others, key=lambda row: row[:2]):
        change: dict[str, Any] = {"state": State.PLANNED, "not_before": not_before}
        if reason:
            change = {"state": State.HELD_BACK, "reason": reason}
        _unfinished_queryset().filter(pk__in=[key for *_, key in group]).update(claimed_at=None, **change)
    if not ready:
        return []
    _unfinished_queryset().filter(pk__in=ready).update(
        state=State.SENDING, claimed_at=at, attempts=F("attempts") + 1
    )
    claimed = Delivery.objects.in_bulk([*ready])
    return [
        _with_texts(claimed[key], known)
        for key, known in ready.items()
        if key in claimed and (claimed[key].state, claimed[key].claimed_at) == (State.SENDING, at)
    ]


def _with_texts(delivery: Delivery, known: Delivery) -> Delivery:
    """Return a delivery with the campaign and the step of the same one as read before."""
    delivery.campaign, delivery.step = known.campaign, known.step
    return delivery


def _unfinished_queryset() -> QuerySet[Delivery]:
    """Return deliveries that are still to be sent; stopping a campaign ends them meanwhile."""
    return Delivery.objects.filter(state__in=(State.PLANNED, State.SENDING))


class _SendRun:
    """Sends claimed messages. Outcomes are written to the database every tenth of a second."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.started = time.monotonic()
        self.channels: dict[str, base.Channel] = {}
        self.unavailable: set[str] = set()
        self.outcomes: list[tuple[int, dict[str, Any]]] = []
        self.channel_outcomes: dict[str, str] = {}  # outcomes by channel since the last write
        self.written_at = self.started
        # Decisions about the next messages, and until when they are used.
        self.decisions: dict[int, tuple[Delivery | None, sending_policy.Decision | None]] = {}
        self.decisions_until = self.started
        self.evaluated = 1

    def send(self, claimed: Sequence[Delivery]) -> None:
        """Send one after another; release those that cannot be sent now."""
        try:
            for index, delivery in enumerate(claimed):
                elapsed = time.monotonic() - self.started
                if elapsed >= settings.CAMPAIGN_LEASE / 2 or delivery.step.channel in self.unavailable:
                    self._release(delivery)
                else:
                    following = claimed[index + 1 : index + 1 + MAX_EVALUATED]
                    current = self._recheck(delivery, following, self.at + timedelta(seconds=elapsed))
                    if current:
                        self._send(current)
                if time.monotonic() - self.written_at > OUTCOME_WRITE_SECONDS:
                    self._write()
        finally:
            self._write()
            for channel in self.channels.values():
                channel.close()

    def _recheck(self, delivery: Delivery, following: Sequence[Delivery], at: datetime) -> Delivery | None:
        """Return the message with its current customer if it may still be sent; else record why not.

        Since the claim, the customer may have withdrawn consent, ordered, left, or been merged or erased.
        """
        if delivery.pk not in self.decisions or time.monotonic() > self.decisions_until:
            self._evaluate([delivery, *following], at)
        current, decision = self.decisions.pop(delivery.pk)
        if current is None or decision is None:  # paused, stopped, or gone
            self._release(delivery)
            return None
        if decision.reason:
            self._record(current, state=State.HELD_BACK, claimed_at=None, reason=decision.reason)
            return None
        if decision.not_before:
            self._release(current, decision.not_before)
            return None
        current.campaign, current.step = delivery.campaign, delivery.step
        return current

    def _evaluate(self, deliveries: Sequence[Delivery], at: datetime) -> None:
        """Evaluate the first of the next messages: one if sending is slow, more if it is fast."""
        was_in_time = not self.decisions
        self.evaluated = (
            min(self.evaluated * 2, MAX_EVALUATED) if was_in_time else max(self.evaluated // 2, 1)
        )
        texts = {delivery.pk: delivery for delivery in deliveries[: self.evaluated]}
        claimed = Delivery.objects.filter(
            pk__in=texts, state=State.SENDING, claimed_at=self.at, campaign__state=Campaign.State.RUNNING
        ).select_related("campaign")
        current = {delivery.pk: delivery for delivery in claimed}
        for key, delivery in current.items():
            delivery.step = texts[key].step
        customers = Customer.objects.in_bulk({delivery.customer_id for delivery in current.values()})
        decisions = sending_policy.evaluate([*current.values()], at) if current else {}
        for delivery in current.values():
            if delivery.customer_id in customers:
                delivery.customer = customers[delivery.customer_id]
        self.decisions = {key: (current.get(key), decisions.get(key)) for key in texts}
        self.decisions_until = time.monotonic() + DECISION_VALID_SECONDS

    def _send(self, delivery: Delivery) -> None:
        name = delivery.step.channel
        try:
            channel = self._channel(name)
            channel.send(delivery, rendering.render(delivery, self.at))
        except (variable_types.MissingValue, Undeliverable) as error:
            self._fail(delivery, error)
        except (TemporaryFailure, NoCodeAvailable) as error:
            if isinstance(error, ChannelUnavailable):
                self.unavailable.add(name)
            self._retry(delivery, _reason(error))
        except Exception as error:  # a bug must not stop the other messages
            log.exception("message_could_not_be_sent", delivery=delivery.pk)
            self._retry(delivery, f"{type(error).__name__}: {error}"[:300])
        else:
            self.channel_outcomes[name] = self.channel_outcomes.get(name, "") + channel_health.ACCEPTED
            outcome = (
                {"state": State.SENT, "sent_at": self.at} if channel.delivers() else {"state": State.WRITTEN}
            )
            self._record(delivery, **outcome, reason="", content=delivery.content)

    def _channel(self, name: str) -> base.Channel:
        if name not in self.channels:
            channel = find_channel(name)
            if channel is None:
                raise Undeliverable(UNKNOWN_CHANNEL)
            self.channels[name] = channel()
        return self.channels[name]

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        """Record that a message failed for good. A refusal may pause the channel."""
        self._record(delivery, state=State.FAILED, claimed_at=None, reason=_reason(error))
        name = delivery.step.channel
        channel = find_channel(name)
        if isinstance(error, NoMailbox):
            if channel and channel.address and channel.address.column == "email":
                bounces.suppress_address(delivery.customer.email, self.at, _reason(error))
            self.channel_outcomes[name] = self.channel_outcomes.get(name, "") + channel_health.ACCEPTED
        elif isinstance(error, MessageRefused) and channel and channel.pauses_when_refused:
            self.channel_outcomes[name] = self.channel_outcomes.get(name, "") + channel_health.REFUSED
            self._write(_reason(error))

    def _release(self, delivery: Delivery, not_before: datetime | None = None) -> None:
        """Release a claim without counting the attempt."""
        not_before = not_before or (
            self.at + UNAVAILABLE_PAUSE if delivery.step.channel in self.unavailable else self.at
        )
        attempts = delivery.attempts - 1
        self._record(delivery, state=State.PLANNED, claimed_at=None, attempts=attempts, not_before=not_before)

    def _retry(self, delivery: Delivery, reason: str) -> None:
        """Schedule another attempt with exponential back-off, or fail once the message expires before it."""
        not_before = self.at + BACKOFF.delay(delivery.attempts)
        if not_before > sending_policy.expires_at(delivery.planned_for):
            self._record(delivery, state=State.FAILED, claimed_at=None, reason=reason)
        else:
            self._record(delivery, state=State.PLANNED, claimed_at=None, reason=reason, not_before=not_before)

    def _record(self, delivery: Delivery, **change: Any) -> None:
        self.outcomes.append((delivery.pk, change))

    def _write(self, error: str = "") -> None:
        """Write the outcomes; a claim that was lost meanwhile belongs to another worker."""
        by_change: dict[str, tuple[dict[str, Any], list[int]]] = {}
        for key, change in self.outcomes:
            by_change.setdefault(repr(change), (change, []))[1].append(key)
        for change, keys in by_change.values():
            claimed = Delivery.objects.filter(pk__in=keys, state=State.SENDING, claimed_at=self.at)
            if claimed.update(**change) < len(keys):
                # A merge may have just replaced the row; only a new statement sees the new one.
                claimed.update(**change)
        for name, outcomes in self.channel_outcomes.items():
            if channel_health.record_outcomes(name, outcomes, self.at, error):
                self.unavailable.add(name)
        self.outcomes, self.channel_outcomes, self.written_at = [], {}, time.monotonic()


def _reason(error: Exception) -> str:
    return str(error)[:300]
