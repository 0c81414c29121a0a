"""Asking an address whether it wants the newsletter that a browser asked for.

The only writer of ``ConfirmationRequest``. A request waits here until whoever sends messages claims it; the link of
the message names it by its token. Confirming subscribes the customer who asked, and leaves an entry in the history of
consent that proves it.
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
from customers.identity import tombstones
from customers.ingestion import customer_writer
from customers.models import ConfirmationRequest, ConsentChange, ConsentStatement, Customer, Identity
from customers.models.consent import Way
from customers.signals import records_changed

from . import profiles
from .profiles import TraitUpdate

SOURCE: Final = "confirmation link"
MAX_PER_DAY: Final = 1
MAX_WHILE_PENDING: Final = 3  # messages to an address in ``PENDING_FOR``
DAY: Final = timedelta(days=1)
LEASE: Final = timedelta(minutes=5)
MAX_ATTEMPTS: Final = 5
BACKOFF: Final = Backoff.exponential(timedelta(minutes=4), factor=4, longest=timedelta(days=1))

LIMIT_REACHED: Final = "The address was asked already: once a day at most, and three times in 30 days."
SUPPRESSED: Final = "The address is suppressed."
NOT_PENDING: Final = "Nobody waits for it any more."

confirmations_requested: Final = Signal()
"""Sent after a transaction that asks for messages, without saying which."""

_State = ConfirmationRequest.State


@dataclass(frozen=True, slots=True)
class ConfirmationStatus:
    """What following a link means: ``open`` to confirm, confirmed ``now``, ``used`` already, or ``over``."""

    state: str
    email: str = ""


# -- Asking


def request_confirmations(identities: Collection[int], told: Mapping[int, str], now: datetime) -> None:
    """Let addresses be asked for identities whose customer is pending; ``told`` are addresses told with the asking."""
    if not identities:
        return
    pending = ConsentStatement.objects.filter(
        states.pending_q(now, "identity__customer__"), identity__in=identities, state=State.PENDING
    ).select_related("identity__customer")
    requests = []
    for one in pending:
        customer = one.identity.customer
        email = told.get(one.identity_id, "") or customer.email
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
                    not_before=now,
                )
            )
    ConfirmationRequest.objects.bulk_create(requests, ignore_conflicts=True)
    if requests:
        notify_on_commit(confirmations_requested)


def _may_have_address(address: str, customer: Customer) -> bool:
    """Tell whether a customer has an address, or may have it.

    Where somebody trusted gave another one, this one would get nothing of the customer's.
    """
    return address == customer.email_folded or not (customer.email and customer.email_is_trusted)


def has_due_requests(at: datetime) -> bool:
    """Tell whether there is a message to send."""
    return _due_requests(at).exists()


def claim_due_requests(at: datetime, most: int) -> tuple[int, Sequence[ConfirmationRequest]]:
    """Claim requests whose message goes out now, and hold back those that may not; return how many were due, too.

    A mailbox is asked once a day and three times in 30 days, whoever asks for it, and by whichever of its addresses.
    """

    def act() -> tuple[int, list[ConfirmationRequest]]:
        locks.acquire("confirmations")
        due = list(_due_requests(at).select_related("identity__customer").order_by("not_before", "pk")[:most])
        claimed: list[ConfirmationRequest] = []
        for request in due:
            if reason := _hold_back_reason(request, at):
                _update(request, state=_State.HELD_BACK, reason=reason, claimed_at=None)
            else:
                _update(request, state=_State.SENDING, claimed_at=at, attempts=F("attempts") + 1)
                claimed.append(request)
        return len(due), claimed

    return transactions.retry_on_deadlock(act)


def release_requests(claimed: Sequence[ConfirmationRequest], not_before: datetime) -> None:
    """Undo claims, as if they had not been: the messages go out later."""
    mine = ConfirmationRequest.objects.filter(pk__in=[one.pk for one in claimed], state=_State.SENDING)
    mine.update(state=_State.WAITING, claimed_at=None, attempts=F("attempts") - 1, not_before=not_before)


def mark_sent(request: ConfirmationRequest, at: datetime) -> None:
    """Note that the message went out."""
    _update(request, state=_State.SENT, sent_at=at, reason="")


def mark_failed(request: ConfirmationRequest, at: datetime, reason: str, *, for_good: bool) -> None:
    """Note that the message could not go out; it is tried again, later each time, a few times."""
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
    # One that is on its way counts as sent: its worker may have died after the mail server's yes.
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
    """Tell what the link of a request means at an instant, changing nothing."""
    request = ConfirmationRequest.objects.select_related("identity__customer").filter(token=token).first()
    if request is None or at >= request.asked_at + CONFIRMATION_PERIOD:
        return ConfirmationStatus("over")
    customer = request.identity.customer
    if not _may_have_address(request.address, customer):
        return ConfirmationStatus("over", request.email)
    is_subscribed = customer.newsletter == State.SUBSCRIBED
    if request.confirmed_at is not None:
        return ConfirmationStatus("used" if is_subscribed else "over", request.email)
    is_open = is_subscribed or customer.pending_at is not None
    return ConfirmationStatus("open" if is_open else "over", request.email)


def confirm_subscription(token: uuid.UUID, at: datetime) -> ConfirmationStatus:
    """Subscribe the customer who asked, once; return what the link means now."""

    def act() -> ConfirmationStatus:
        locks.acquire("inbox")  # nobody else tells meanwhile
        tombstones.lock_shared()
        seen = confirmation_status(token, at)
        mine = ConfirmationRequest.objects.filter(token=token, confirmed_at=None)
        if seen.state != "open" or not mine.update(confirmed_at=at):
            return seen
        _subscribe(ConfirmationRequest.objects.get(token=token), at)
        notify_on_commit(records_changed)
        return ConfirmationStatus("now", seen.email)

    return transactions.retry_on_deadlock(act)


def _subscribe(request: ConfirmationRequest, at: datetime) -> None:
    identity = Identity.objects.select_related("customer").get(pk=request.identity_id)
    told = {"subscribed_at": at.isoformat()}
    if not (identity.customer.email and identity.customer.email_is_trusted):
        told["email"] = request.email  # it has spoken for itself
    message_id = f"confirmation-{request.token.hex}"
    profiles.apply_trait_updates([TraitUpdate(identity.pk, told, at, message_id, by_server=True)], {}, at)
    customer_writer.mark_address_trusted(identity.customer_id, request.address)
    addresses.restore_erased_addresses([request.address])
    statements.store_statements(
        [Statement(identity.pk, State.SUBSCRIBED, Way.CONFIRMED, at, request.address)]
    )
    ConsentChange.objects.create(
        customer_id=identity.customer_id,
        state=State.SUBSCRIBED,
        at=at,
        source=SOURCE,
        address=request.email,
        asked_at=request.asked_at,
    )
    states.update_consent_of_customers([identity.customer_id], at, source=SOURCE, told=identity.customer_id)
