"""What a message states of the newsletter: taken out of its traits, and said by whom.

A server's statement counts. A browser's ``true`` is pending until the address confirms it, unless the shop has turned
that off; its ``false`` is about its own visitor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from core.values import email_addresses
from customers.consent import statements, states
from customers.consent.statements import Statement
from customers.consent.states import State
from customers.models import Identity
from customers.models.consent import Way

from . import double_opt_in


@dataclass(frozen=True, slots=True)
class StatedConsent:
    """What was stated, in which way, when, and the e-mail address that the same message tells."""

    state: str
    way: str
    at: datetime
    email: str

    @property
    def is_by_browser(self) -> bool:
        """Tell whether nobody but a browser says so."""
        return self.way == Way.BROWSER


def pop_consent(told: dict[str, str], at: datetime, *, by_server: bool) -> StatedConsent | None:
    """Take the consent out of what a message of an instant tells, and return it."""
    state, email = told.pop("newsletter", None), told.get("email", "")
    if not by_server:
        told.pop("subscribed_at", None)
    if state is None:
        return None
    if by_server:
        subscribed_at = told.get("subscribed_at")
        if state == State.SUBSCRIBED and subscribed_at:
            at = min(at, datetime.fromisoformat(subscribed_at).astimezone(UTC))
        return StatedConsent(state, Way.FIRM, at, email)
    if state == State.SUBSCRIBED and settings.SHOP_DOUBLE_OPT_IN:
        state = State.PENDING
    return StatedConsent(state, Way.BROWSER, at, email)


def record_consent(
    stated: Sequence[tuple[int, StatedConsent]],
    emails: Sequence[int],
    moved: Mapping[int, int | None],
    now: datetime,
) -> None:
    """Keep what messages state of identities, bring their customers in line, and ask addresses that are pending.

    ``emails`` are identities of which a browser told an address. ``moved`` names identities that lead elsewhere than
    before, with the customer of before, or None.
    """
    said = [
        (
            one.is_by_browser,
            Statement(key, one.state, one.way, min(one.at, now), email_addresses.fold_email(one.email)),
        )
        for key, one in stated
    ]
    statements.store_statements([one for by_browser, one in said if by_browser])
    statements.store_trusted_statements([one for by_browser, one in said if not by_browser], "server")
    keys = sorted({*(key for key, _ in stated), *moved})
    if keys:
        theirs = Identity.objects.filter(pk__in=keys).values_list("customer_id", flat=True)
        states.update_consent_of_customers({*theirs, *filter(None, moved.values())}, now, source="tracking")
    told = {key: one.email for key, one in stated if one.state == State.PENDING and one.email}
    double_opt_in.request_confirmations({*(key for key, _ in stated), *emails}, told, now)
