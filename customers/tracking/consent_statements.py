"""Consent that a message states: removed from its traits, and recorded with the method it was stated.

A statement of a server counts. ``true`` of a browser is pending until the address confirms it, unless the shop has
turned double opt-in off; ``false`` of a browser applies only to its own visitor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from core.values import email_addresses
from customers.consent import statements, states
from customers.consent.statements import Statement
from customers.consent.states import State
from customers.models import Customer, Identity
from customers.models.consent import ConsentMethod

from . import double_opt_in


@dataclass(frozen=True, slots=True)
class StatedConsent:
    """What a message states about the newsletter, and the e-mail address in the same message."""

    state: str
    method: str
    at: datetime
    email: str

    @property
    def is_by_browser(self) -> bool:
        return self.method == ConsentMethod.BROWSER


def pop_consent(traits: dict[str, str], at: datetime, *, by_server: bool) -> StatedConsent | None:
    """Remove the consent from the traits of a message, and return it."""
    state, email = traits.pop("newsletter", None), traits.get("email", "")
    if not by_server:
        traits.pop("subscribed_at", None)
    if state is None:
        return None
    if by_server:
        subscribed_at = traits.get("subscribed_at")
        if state == State.SUBSCRIBED and subscribed_at:
            at = min(at, datetime.fromisoformat(subscribed_at).astimezone(UTC))
        return StatedConsent(state, ConsentMethod.FIRM, at, email)
    if state == State.SUBSCRIBED and settings.SHOP_DOUBLE_OPT_IN:
        state = State.PENDING
    return StatedConsent(state, ConsentMethod.BROWSER, at, email)


def record_consent(
    stated: Sequence[tuple[int, StatedConsent]],
    emails: Sequence[int],
    moved: Mapping[int, int | None],
    at: datetime,
) -> None:
    """Record statements by identity, update the consent of their customers, and request confirmations of pending ones.

    ``emails`` are identities for which a browser reported an address. ``moved`` maps identities that belong to another
    customer now to their former customer, or to None.
    """
    stated_consents = [
        (
            one.is_by_browser,
            Statement(key, one.state, one.method, min(one.at, at), email_addresses.fold_email(one.email)),
        )
        for key, one in stated
    ]
    statements.store_statements([one for by_browser, one in stated_consents if by_browser])
    statements.store_trusted_statements(
        [one for by_browser, one in stated_consents if not by_browser], "server"
    )
    keys = sorted({*(key for key, _ in stated), *moved})
    if keys:
        theirs = Identity.objects.filter(pk__in=keys).values_list("customer_id", flat=True)
        # An unsubscription holds for the address that it names, and others may have it.
        named = {one.address for _, one in stated_consents if one.ends_address}
        others = Customer.objects.filter(email_folded__in=named).values_list("pk", flat=True) if named else ()
        states.update_consent_of_customers(
            {*theirs, *others, *filter(None, moved.values())}, at, source="tracking"
        )
    addresses = {key: one.email for key, one in stated if one.state == State.PENDING and one.email}
    double_opt_in.request_confirmations({*(key for key, _ in stated), *emails}, addresses, at)
