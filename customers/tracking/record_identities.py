"""What files and the API say of ids, settled together with what messages say.

A record that names a customer id makes it the shop's: links that browsers made without a signature end. An event with
both ids joins the browser to the customer.
"""

from collections.abc import Collection
from datetime import datetime

from customers.identity import assertions, identity_locks, resolution, resolver
from customers.identity.assertions import Assertion
from customers.identity.resolution import Resolution
from customers.ingestion import drafts

from . import consent_statements, order_messages, profiles


def confirm_customer_ids(customer_ids: Collection[str], now: datetime) -> None:
    """Let customer ids belong to the shop that only browsers have named until now."""
    _move_records(resolution.resolve((), (), now, named=customer_ids), now)


def link_event_visitors(staged: str, now: datetime) -> None:
    """Let the browsers of staged events be those of the customers whom the events name beside them."""
    said: list[Assertion] = assertions.assertions_from_staged(staged)
    if said:
        identity_locks.lock_identities()
        _move_records(resolution.resolve((), said, now), now)


def _move_records(united: Resolution, now: datetime) -> None:
    if united.moved:
        drafts.lock_exclusive()
        profiles.apply_trait_updates((), united.moved, now)
        consent_statements.record_consent((), (), united.moved, now)
        order_messages.record_order_messages((), united.moved, now)


RESOLVER = resolver.Resolver(confirm_customer_ids, link_event_visitors)
