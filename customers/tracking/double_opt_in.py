"""Double opt-in: asking an address to confirm a subscription that a browser has stated.

The only writer of ``ConfirmationRequest``. A request waits until the sender of messages claims it. The link in the
message contains its token. Confirming subscribes the customer and adds an entry to the history of consent as proof.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q, QuerySet
from django.dispatch import Signal

from core.backoff import Backoff
from core.db import leases, locks, transactions
from core.values import email_addresses
from core.wakeup import notify_on_commit
from customers.consent import addresses, statements, states, suppression
from customers.consent.statements import Statement
from customers.consent.states import CONFIRMATION_PERIOD, State
from customers.identity import identity_locks, tombstones
from customers.ingestion import customer_writer
from customers.models import ConfirmationRequest, ConsentChange, ConsentStatement, Customer, Identity
from customers.models.consent import ConsentMethod
from customers.signals import records_changed

from . import profiles
from .profiles import TraitUpdate

SOURCE: Final = "confirmation link"
MAX_PER_DAY: Final = 1
MAX_WHILE_PENDING: Final = 3  # messages to an address within ``CONFIRMATION_PERIOD``
DAY: Final = timedelta(days=1)
LEASE: Final = timedelta(minutes=5)
MAX_ATTEMPTS: Final = 5
BACKOFF: Final = Backoff.exponential(timedelta(minutes=4), factor=4, longest=timedelta(days=1))

LIMIT_REACHED: Final = (
    "The address was asked already. It is asked at most once a day and three times in 30 days."
)
SUPPRESSED: Final = "The address is suppressed."
NOT_PENDING: Final = "The confirmation is no longer pending."

confirmations_requested: Final = Signal()
"""Sent after a transaction that requests confirmations. It does not say which."""

_State = ConfirmationRequest.State


@dataclass(frozen=True, slots=True)
class ConfirmationStatus:
    """The state of a link: ``open``, just ``confirmed``, confirmed before (``used``), or ``expired``."""

    state: str
    email: str = ""


# -- Requesting


def request_confirmations(identities: Collection[int], emails: Mapping[int, str], at: datetime) -> None:
    """Request confirmations for identities whose customer is pending.

    ``emails`` are the addresses that were stated together with the consent, by identity.
    """
    if not identities:
        return
    stated = list(
        ConsentStatement.objects.filter(identity__in=identities, state=State.PENDING).select_related(
            "identity"
        )
    )
    pending = Customer.objects.filter(
        states.pending_q(at), pk__in={one.identity.customer_id for one in stated}
    ).in_bulk()
    requests = []
    for one in stated:
        customer = pending.get(one.identity.customer_id)
        if customer is None:
            continue
        email = emails.get(one.identity_id, "") or customer.email
        address = email_addresses.fold_email(email)
        if email and _may_have_address(address, customer) and one.address in ("", address):
            requests.append(
                ConfirmationRequest(
                    identity_id=one.identity_id,
                    email=email,
                    address=address,
                    mailbox=email_addresses.mailbox_key(address),
                    token=uuid.uuid4(),
                    asked_at=one.at,
                    not_before=at,
                )
            )
    ConfirmationRequest.objects.bulk_create(requests, ignore_conflicts=True)
    if requests:
        notify_on_commit(confirmations_requested)


def _may_have_address(address: str, customer: Customer) -> bool:
    """Return whether an address is the customer's, or can become it: a trusted source has given no other one."""
    return address == customer.email_folded or not (customer.email and customer.email_is_trusted)


def has_due_requests(at: datetime) -> bool:
    return _due_requests(at).exists()


def claim_due_requests(at: datetime, limit: int) -> tuple[int, Sequence[ConfirmationRequest]]:
    """Claim due requests, and hold back those that may not be sent. Return how many were due, and the claimed ones.

    A mailbox is asked at most once a day and three times in 30 days, for all its customers and addresses together.
    """

    def claim() -> tuple[int, list[ConfirmationRequest]]:
        locks.acquire("confirmations")
        due = list(
            _due_requests(at)
            .select_related("identity")
            .prefetch_related("identity__customer")
            .order_by("not_before", "pk")[:limit]
        )
        claimed: list[ConfirmationRequest] = []
        for request in due:
            if reason := _hold_back_reason(request, at):
                _update(request, state=_State.HELD_BACK, reason=reason, claimed_at=None)
            else:
                _update(request, state=_State.SENDING, claimed_at=at, attempts=F("attempts") + 1)
                claimed.append(request)
        return len(due), claimed

    return transactions.retry_on_conflict(claim)


def release_requests(claimed: Sequence[ConfirmationRequest], not_before: datetime) -> None:
    """Release claimed requests without counting the attempt; they are due again at ``not_before``."""
    mine = ConfirmationRequest.objects.filter(pk__in=[one.pk for one in claimed], state=_State.SENDING)
    mine.update(state=_State.WAITING, claimed_at=None, attempts=F("attempts") - 1, not_before=not_before)


def mark_sent(request: ConfirmationRequest, at: datetime) -> None:
    _update(request, state=_State.SENT, sent_at=at, reason="")


def mark_failed(request: ConfirmationRequest, at: datetime, reason: str, *, for_good: bool) -> None:
    """Schedule another attempt with back-off, or give up: ``for_good``, or after MAX_ATTEMPTS."""
    request.refresh_from_db(fields=["attempts"])
    if for_good or request.attempts >= MAX_ATTEMPTS:
        _update(request, state=_State.FAILED, claimed_at=None, reason=reason[:300])
    else:
        later = at + BACKOFF.delay(request.attempts)
        _update(request, state=_State.WAITING, claimed_at=None, reason=reason[:300], not_before=later)


def _due_requests(at: datetime) -> QuerySet[ConfirmationRequest]:
    abandoned = Q(state=_State.SENDING) & leases.abandoned_q("claimed_at", at, LEASE)
    return ConfirmationRequest.objects.filter(Q(state=_State.WAITING) | abandoned, not_before__lte=at)


def _hold_back_reason(request: ConfirmationRequest, at: datetime) -> str:
    customer = request.identity.customer
    if customer.pending_at is None or not at - CONFIRMATION_PERIOD < request.asked_at <= at:
        return NOT_PENDING
    if suppression.is_suppressed(request.address):
        return SUPPRESSED
    others = ConfirmationRequest.objects.filter(mailbox=request.mailbox).exclude(pk=request.pk)
    # A claimed request counts as sent: its worker may have died after the mail server accepted the message.
    lately = [
        one.sent_at or one.claimed_at
        for one in others.filter(
            Q(sent_at__gt=at - CONFIRMATION_PERIOD) | Q(claimed_at__gt=at - CONFIRMATION_PERIOD)
        )
    ]
    in_a_day = sum(moment is not None and moment > at - DAY for moment in lately)
    return LIMIT_REACHED if in_a_day >= MAX_PER_DAY or len(lately) >= MAX_WHILE_PENDING else ""


def _update(request: ConfirmationRequest, **change: object) -> None:
    ConfirmationRequest.objects.filter(pk=request.pk).update(**change)


# -- Confirming


def confirmation_status(token: uuid.UUID, at: datetime) -> ConfirmationStatus:
    """Return the state of a link at an instant, without changing anything."""
    request = ConfirmationRequest.objects.select_related("identity").filter(token=token).first()
    if request is None or at >= request.asked_at + CONFIRMATION_PERIOD:
        return ConfirmationStatus("expired")
    customer = request.identity.customer
    if not _may_have_address(request.address, customer):
        return ConfirmationStatus("expired", request.email)
    is_subscribed = customer.newsletter == State.SUBSCRIBED
    if request.confirmed_at is not None:
        return ConfirmationStatus("used" if is_subscribed else "expired", request.email)
    is_open = is_subscribed or customer.pending_at is not None
    return ConfirmationStatus("open" if is_open else "expired", request.email)


def confirm_subscription(token: uuid.UUID, at: datetime) -> ConfirmationStatus:
    """Subscribe the customer, once. Return the state of the link."""

    def confirm() -> ConfirmationStatus:
        identity_locks.lock_identities()  # no messages are processed meanwhile
        tombstones.lock_shared()
        status = confirmation_status(token, at)
        mine = ConfirmationRequest.objects.filter(token=token, confirmed_at=None)
        if status.state != "open" or not mine.update(confirmed_at=at):
            return status
        _subscribe(ConfirmationRequest.objects.get(token=token), at)
        notify_on_commit(records_changed)
        return ConfirmationStatus("confirmed", status.email)

    return transactions.retry_on_conflict(confirm)


def _subscribe(request: ConfirmationRequest, at: datetime) -> None:
    identity = Identity.objects.get(pk=request.identity_id)
    traits = {"subscribed_at": at.isoformat()}
    if not (identity.customer.email and identity.customer.email_is_trusted):
        traits["email"] = request.email  # following the link proves the address
    message_id = f"confirmation-{request.token.hex}"
    profiles.apply_trait_updates([TraitUpdate(identity.pk, traits, at, message_id, by_server=True)], {}, at)
    customer_writer.mark_address_trusted(identity.customer_id, request.address)
    addresses.restore_erased_addresses([request.address])
    statements.store_statements(
        [Statement(identity.pk, State.SUBSCRIBED, ConsentMethod.CONFIRMED, at, request.address)]
    )
    ConsentChange.objects.create(
        customer_id=identity.customer_id,
        state=State.SUBSCRIBED,
        at=at,
        source=SOURCE,
        address=request.email,
        asked_at=request.asked_at,
    )
    states.update_consent_of_customers(
        [identity.customer_id], at, source=SOURCE, history_written=identity.customer_id
    )
